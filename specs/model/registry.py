"""Registries: how images from afar may be fetched."""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import urlsplit

from pydantic import ValidationInfo, model_validator

from specs.fields import Effect, Spec, about, context_of
from specs.model.paths import resolved_node
from specs.nodes import Map, Text
from specs.notations import Filled, Flag, Line, list_of
from specs.scalars import Unreadable

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


HOST: Final = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?"
HOST_RULE: Final = "a host with its port if need be, such as registry.example:5000"
_PREFIX: Final = r"(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
_MIRROR_RULE: Final = "HOST, HOST:PORT or HOST:PORT/PREFIX, such as mirror.example:5000/hub"
_FILES: Final = ("ca", "cert", "key")


def host(text: str) -> str:
    """A host that can be connected to. Raises ``Unreadable``."""
    if not re.fullmatch(HOST, text, re.ASCII):
        raise Unreadable(HOST_RULE)
    try:
        parts = urlsplit(f"//{text}")
        usable = parts.port is None or parts.port > 0
        if ":" in (name := parts.hostname or ""):
            IPv6Address(name)
    except ValueError:
        raise Unreadable(HOST_RULE) from None
    if not usable or not all(0 < len(label) <= 63 for label in name.split(".")):
        raise Unreadable(HOST_RULE)
    return text


def _mirror(text: str) -> str:
    there = text.partition("/")[0]
    if not re.fullmatch(_PREFIX, text[len(there) :]):
        raise Unreadable(_MIRROR_RULE)
    try:
        host(there)
    except Unreadable:
        raise Unreadable(_MIRROR_RULE) from None
    return text


class Registry(Spec):
    """What is special about one registry."""

    noun: ClassVar[str] = "a registry"
    renamed: ClassVar[Mapping[str, str]] = {
        "certificate": "cert", "client_cert": "cert", "client_key": "key", "mirror": "mirrors",
        "tls_verify": "insecure", "skip_verify": "insecure",
    }  # fmt: skip

    insecure: Flag = about(
        "Allow plain HTTP, and certificates that nobody vouches for.", IN_PLACE, default=False
    )
    ca: Filled | None = about(
        "PEM file of authorities that this registry is trusted for, beside the system's.",
        IN_PLACE,
        default=None,
    )
    cert: Filled | None = about(
        "PEM file of our own certificate, for a registry that asks for one.",
        IN_PLACE,
        default=None,
    )
    key: Filled | None = about("PEM file of the key of `cert`.", IN_PLACE, default=None)
    auth: RegistryAuth | None = about("How to log in.", IN_PLACE, default=None)
    mirrors: Annotated[tuple[str, ...], *list_of(_mirror, _MIRROR_RULE)] = about(
        "Registries to ask first, in this order: HOST[:PORT][/PREFIX].", IN_PLACE, default=()
    )
    partners: Annotated[tuple[str, ...], *list_of(host, HOST_RULE)] = about(
        "Hosts that act for it: a token server under another domain, a blob store in the own"
        " network.",
        IN_PLACE,
        default=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve_files(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        context = context_of(info)
        files = {key: value[key] for key in _FILES if isinstance(value.get(key), Text)}
        named = {key: file for key, file in files.items() if file.strip() and not file.null}
        return {**value, **{key: resolved_node(file, context) for key, file in named.items()}}

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("takes `cert` and `key` together")
        return self


_SEARCHED: Final = "a host with a dot or a port, such as docker.io or registry.example:5000"


def _searched(text: str) -> str:
    """A host that can stand before a name: else nobody could tell it from a name."""
    if not (set(".:") & set(text) or text == "localhost"):
        raise Unreadable(_SEARCHED)
    try:
        return host(text)
    except Unreadable:
        raise Unreadable(_SEARCHED) from None


SearchList = Annotated[tuple[str, ...], *list_of(_searched, _SEARCHED)]
"""Where short names are looked for, in this order; none: they are refused."""
