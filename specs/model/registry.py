"""Registries: how images from afar may be fetched."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, ValidationInfo, model_validator

from specs.fields import Effect, Spec, about, context_of
from specs.model.paths import resolved_node
from specs.nodes import Map, Text
from specs.notations import Filled, Flag, Line
from specs.refusals import not_yet, refuse

IN_PLACE = Effect.IN_PLACE


class SecretSource(Spec):
    """Where a secret comes from; exactly one of the three."""

    noun: ClassVar[str] = "a secret: `{env: NAME}`, `{file: PATH}` or the text itself"

    env: Filled | None = about(
        "Name of the environment variable that holds the secret.", IN_PLACE, default=None
    )
    file: Filled | None = about(
        "Path of the file that holds the secret, relative to the project.", IN_PLACE, default=None
    )
    value: Line | None = about(
        "The secret itself; better kept out of the spec.", IN_PLACE, default=None, repr=False
    )

    @model_validator(mode="before")
    @classmethod
    def _read_short_form(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str) and not (isinstance(value, Text) and value.null):
            return {"value": value}
        if isinstance(value, Map) and isinstance(file := value.get("file"), Text):
            return {**value, "file": resolved_node(file, context_of(info))}
        return value

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if sum(each is not None for each in (self.env, self.file, self.value)) != 1:
            raise ValueError("takes exactly one of `env` and `file`, or the text itself")
        return self


class RegistryAuth(Spec):
    """Basic authentication at a registry."""

    noun: ClassVar[str] = "`auth`"
    renamed: ClassVar[Mapping[str, str]] = {"user": "username", "login": "username"}

    username: Filled = about("Name to log in with.", IN_PLACE)
    password: SecretSource = about("Where the password comes from.", IN_PLACE)


def _refuse_file(value: object) -> Any:
    return (
        refuse([not_yet(value, "a certificate of the registry's own")])
        if value is not None
        else None
    )


def _refuse_mirrors(value: object) -> Any:
    return refuse([not_yet(value, "asking other registries first")]) if value else ()


class Registry(Spec):
    """What is special about one registry."""

    noun: ClassVar[str] = "a registry"

    insecure: Flag = about("Allow plain HTTP to this registry.", IN_PLACE, default=False)
    ca: Annotated[str | None, BeforeValidator(_refuse_file)] = about(
        "Certificate file that the registry's own one is checked against.", IN_PLACE, default=None
    )
    auth: RegistryAuth | None = about("How to log in.", IN_PLACE, default=None)
    mirrors: Annotated[tuple[str, ...], BeforeValidator(_refuse_mirrors)] = about(
        "Registries to ask first.", IN_PLACE, default=()
    )
