"""What containers can write on the host: a spec that lies there is not used when it is only found
in a tree. Whoever writes a spec is root on the host, and a container should not be.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.desired import Desired
from runtime.api import BindMount
from runtime.errors import Fault


class WithinReach(Fault):
    """A container may have written the spec."""

    exit_code = 64

    def __init__(self, path: Path, mounted: str) -> None:
        self.path, self.mounted = path, mounted
        super().__init__(
            f"{path} is not used",
            why=f"a container could have written it: {mounted}",
            hint="take it or the mounted folder elsewhere, or mount the folder read-only",
        )


def writable(desired: Desired) -> dict[Path, str]:
    """The real places of the host that containers of the project can write, with who and where
    the spec says so."""
    found = dict(_binds(desired))
    for name, volume in desired.volumes.items():
        device = volume.driver_opts.get("device", "")
        if device.startswith("/"):
            place = desired.place("volume", name, "driver_opts")
            found[_real(device)] = f"volume {name} ({place})"
    return found


def _binds(desired: Desired) -> Iterator[tuple[Path, str]]:
    for key, spec in desired.containers.items():
        place = desired.place("container", key.name, "mounts")
        for mount in spec.mounts:
            if isinstance(mount, BindMount) and not mount.read_only:
                yield _real(mount.source), f"{mount.source} in container {key} ({place})"


def reached(path: Path, places: Mapping[Path, str]) -> str:
    """Who can write the file, by its name or where a link leads; "" for nobody."""
    names = (_real(str(path.parent)) / path.name, _real(str(path)))
    ways = (place for name in names for place in (name, *name.parents))
    return next((places[place] for place in ways if place in places), "")


def _real(path: str) -> Path:
    return Path(os.path.realpath(path))
