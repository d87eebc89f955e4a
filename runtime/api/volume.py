"""A named volume."""

import msgspec


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named volume; ``owner`` is (uid, gid), ``mode`` the permission bits of its root.

    ``driver_opts`` are those of Docker's local driver (``type``, ``o``, ``device``).
    ``full_name``: what other projects call it, "" for ``PROJECT_NAME``. ``external``: it belongs
    to another project, which calls it ``full_name``; nothing is made of it here.
    """

    project: str
    name: str
    owner: tuple[int, int] | None = None
    mode: int | None = None
    driver_opts: dict[str, str] = {}
    external: bool = False
    full_name: str = ""
    labels: dict[str, str] = {}

    @property
    def known_as(self) -> str:
        """The name by which all projects know it."""
        return self.full_name or f"{self.project}_{self.name}"
