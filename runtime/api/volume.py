"""A named volume."""

import msgspec


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named volume; ``owner`` is (uid, gid), ``mode`` the permission bits of its root."""

    project: str
    name: str
    owner: tuple[int, int] | None = None
    mode: int | None = None
