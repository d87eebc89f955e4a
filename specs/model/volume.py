"""Named volumes: directories that outlive their containers."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from specs.fields import Spec, about
from specs.model.ownership import External, check_external
from specs.model.pairs import Labels
from specs.notations import Filled, Mode, Owner, scalar
from specs.scalars import Unreadable


def _driver(text: str) -> str:
    if text not in ("local", "default"):
        raise Unreadable("local", reason="is a volume driver that is not carried out")
    return "local"


class DriverOptions(Spec):
    """What is mounted as the volume: options of Docker's driver `local`."""

    noun: ClassVar[str] = "`driver_opts`"

    type: Filled | None = about("File system, as in `nfs`, `tmpfs` or `none`.", default=None)
    o: Filled | None = about(
        "Options of mount(8), as in `bind` or `addr=10.0.0.5,rw`.", default=None
    )
    device: Filled | None = about("What is mounted.", default=None)


class Volume(Spec):
    """A named volume of the project; kept by `down` unless it is asked for by name."""

    noun: ClassVar[str] = "a volume"
    renamed: ClassVar[Mapping[str, str]] = {"user": "owner", "permissions": "mode"}

    owner: Owner | None = about(
        "User and group as numbers, given to the volume when it is new.", default=None
    )
    mode: Mode | None = about("Permission bits, given to the volume when it is new.", default=None)
    driver: Annotated[str, *scalar(_driver, "local", {"const": "local"})] = about(
        "Only `local`.", default="local"
    )
    driver_opts: DriverOptions | None = about(
        "What is mounted as the volume, in place of a folder of the engine's.", default=None
    )
    external: External = about(
        "Whether it belongs to another project; `true`, or `{name: …}`.", default=None
    )
    name: Filled | None = about(
        "What other projects call it; default: `PROJECT_NAME`.", default=None
    )
    labels: Labels = about("Labels for people and tools.", default_factory=dict)

    @model_validator(mode="after")
    def _check_external(self) -> Self:
        check_external(self)
        return self
