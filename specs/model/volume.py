"""Named volumes: directories that outlive their containers."""

from collections.abc import Mapping
from typing import ClassVar

from specs.fields import Spec, about
from specs.notations import Mode, Owner


class Volume(Spec):
    """A named volume of the project; kept by `down` unless it is asked for by name."""

    noun: ClassVar[str] = "a volume"
    not_yet: ClassVar[frozenset[str]] = frozenset(
        {"driver", "driver_opts", "external", "labels", "name"}
    )
    renamed: ClassVar[Mapping[str, str]] = {"user": "owner", "permissions": "mode"}

    owner: Owner | None = about(
        "User and group as numbers, given to the volume when it is new.", default=None
    )
    mode: Mode | None = about("Permission bits, given to the volume when it is new.", default=None)
