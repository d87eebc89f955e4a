"""What a container mounts beside its root file system."""

import msgspec


class VolumeMount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="volume"):
    """``subpath`` is a folder within the volume; ``copy``: a new volume gets what the image has
    there; ``relabel`` is "z" or "Z" for hosts with SELinux."""

    volume: str
    target: str
    read_only: bool = False
    subpath: str | None = None
    copy: bool = True
    relabel: str = ""


class BindMount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="bind"):
    """``propagation`` as in mount_namespaces(7): ``rprivate`` (""), ``rslave``, ``rshared`` ...;
    ``create_source`` makes a missing folder of the host, owned by root."""

    source: str
    target: str
    read_only: bool = False
    propagation: str = ""
    create_source: bool = False
    relabel: str = ""


class TmpfsMount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="tmpfs"):
    """``size`` in bytes; ``options`` are further words of mount(8) such as ``exec``, ``noexec``,
    ``uid=1000``."""

    target: str
    size: int | None = None
    mode: int | None = None
    options: tuple[str, ...] = ()


class AnonymousMount(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="anonymous"
):
    """A volume without a name: it belongs to the container and goes with it from generation to
    generation."""

    target: str


Mount = VolumeMount | BindMount | TmpfsMount | AnonymousMount
