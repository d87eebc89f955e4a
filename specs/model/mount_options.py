"""Options of a mount: `:ro,z,rslave` in the short form, `bind:` and `volume:` in the long one."""

from typing import Annotated, ClassVar, Final

from specs.fields import Spec, about
from specs.notations import Flag, scalar
from specs.problems import nearest_word
from specs.scalars import Unreadable

PROPAGATIONS: Final = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
ACCESS: Final = ("ro", "rw")
RELABEL: Final = ("z", "Z")
WITHOUT_EFFECT: Final = ("cached", "delegated", "consistent", "copy")
NOT_YET: Final = frozenset(
    {"exec", "noexec", "suid", "nosuid", "dev", "nodev", "U", "O", "idmap", "volume-nocopy"}
)
KNOWN: Final = (*ACCESS, *RELABEL, *PROPAGATIONS, *WITHOUT_EFFECT, "nocopy")


def _propagation(text: str) -> str:
    """The word of mount_namespaces(7), "" for the engine's own rprivate."""
    if text not in PROPAGATIONS:
        near = nearest_word(text, PROPAGATIONS)
        expected = "one of " + ", ".join(PROPAGATIONS)
        raise Unreadable(expected, reason="is not a propagation of mounts", nearest=near)
    return "" if text == "rprivate" else text


def _relabel(text: str) -> str:
    if text not in RELABEL:
        raise Unreadable("z (shared) or Z (private)", reason="is not a way to label")
    return text


def _subpath(text: str) -> str:
    """A folder within a volume: relative, without `..`."""
    parts = text.split("/")
    if text.startswith("/") or ".." in parts or "\0" in text or not text.strip("./"):
        raise Unreadable("a folder within the volume such as data/logs")
    return "/".join(part for part in parts if part not in ("", "."))


class BindOptions(Spec):
    """`bind:` of a mount."""

    noun: ClassVar[str] = "`bind`"
    not_yet: ClassVar[frozenset[str]] = frozenset({"recursive"})

    propagation: Annotated[str, *scalar(_propagation, "rslave", {"enum": [*PROPAGATIONS]})] = about(
        "How mounts below it are seen on the other side.", default=""
    )
    create_host_path: Flag = about("Whether a missing folder is made.", default=False)
    selinux: Annotated[str, *scalar(_relabel, "z or Z", {"enum": [*RELABEL]})] = about(
        "Label for hosts with SELinux.", default=""
    )


class VolumeOptions(Spec):
    """`volume:` of a mount."""

    noun: ClassVar[str] = "`volume`"
    not_yet: ClassVar[frozenset[str]] = frozenset({"labels"})

    nocopy: Flag = about("Whether a new volume stays empty.", default=False)
    subpath: Annotated[str, *scalar(_subpath, "a folder within it", {"type": "string"})] | None = (
        about("Folder within the volume.", default=None)
    )
