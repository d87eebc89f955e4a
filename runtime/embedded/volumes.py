"""Volumes: a folder each, with the spec that made it beside the data.

    volumes/<project>/<name>/volume.json   applied, and whether the content was seeded
    volumes/<project>/<name>/data/         what containers mount
    volumes/.locks/                        whose record or content is being made
    volumes/.gone/<unique>/                removed, but not all deleted yet

Anonymous volumes are named after the container and the path that they are mounted on, so that
every generation of it finds them again.
"""

import hashlib
import os
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import msgspec

from runtime import durable
from runtime.api import ContainerKey, VolumeSpec, encode
from runtime.embedded.linux import files, mounts
from runtime.errors import Fault


class MountedInVolume(Fault):
    """Something is mounted in a volume that shall be removed."""

    def __init__(self, volume: str, point: str) -> None:
        self.volume, self.point = volume, point
        super().__init__(
            f"volume {volume} cannot be removed",
            why=f"something is mounted at {point}",
            hint=f"umount {shlex.quote(point)}, then run the same command again",
        )


class VolumeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``seeded``: the image's content was copied in, or there was data; it is never done twice."""

    spec: VolumeSpec
    seeded: bool = False


class Volumes:
    """The volumes below ``root``. Every call may be repeated."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def data(self, project: str, name: str) -> Path:
        """The folder that containers mount."""
        return self._root / project / name / "data"

    def create(self, spec: VolumeSpec) -> None:
        """Make the volume; data that is there is kept, owner and mode are set as asked."""
        with suppress(OSError, durable.Locked):  # it can wait for the next time
            self._delete_gone(timeout=0)
        with self._changing(spec.project, spec.name):
            self._create(spec)

    def _create(self, spec: VolumeSpec) -> None:
        folder = self._root / spec.project / spec.name
        data = folder / "data"
        with self._coming_or_going(spec.project):
            folder.mkdir(parents=True, exist_ok=True)
        for parent in (self._root, folder.parent, folder):
            parent.chmod(0o700)
        _make_data(data)
        if spec.owner is not None:
            os.chown(data, *spec.owner)
        if spec.mode is not None:
            data.chmod(spec.mode)
        record = self.record(spec.project, spec.name)
        seeded = record is not None and record.seeded
        self._write(VolumeRecord(spec=spec, seeded=seeded))

    def record(self, project: str, name: str) -> VolumeRecord | None:
        """What is written beside the data; None when there is no such volume."""
        try:
            content = (self._root / project / name / "volume.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return msgspec.json.decode(content, type=VolumeRecord)

    def seed(self, project: str, name: str, rootfs: Path, target: str) -> None:
        """Copy in what the image (mounted at ``rootfs``) has at ``target``, if the volume is new
        and without data, as with Docker. Containers that share it wait for the first: after
        this call the folder is the one that stays."""
        if not self._is_unseeded(project, name):
            return
        with self._changing(project, name):
            record = self.record(project, name)
            if record is not None and not record.seeded:
                self._fill(record.spec, rootfs, target)
                self._write(VolumeRecord(spec=record.spec, seeded=True))

    def _is_unseeded(self, project: str, name: str) -> bool:
        record = self.record(project, name)
        return record is not None and not record.seeded

    def _fill(self, spec: VolumeSpec, rootfs: Path, target: str) -> None:
        from runtime.embedded.layers import seed

        data = self.data(spec.project, spec.name)
        with os.scandir(data) as entries:
            is_empty = not any(entries)
        if is_empty:
            seed.copy(rootfs, target, data, owner=spec.owner, mode=spec.mode)

    def _changing(self, project: str, name: str) -> AbstractContextManager[None]:
        """Be the only one to change this volume's record or folder."""
        # Neither name can hold a comma.
        return self._locked(f"{project},{name}", f"volume {project}/{name}", None)

    def _coming_or_going(self, project: str) -> AbstractContextManager[None]:
        """Be the only one to make a folder in the project's, or to remove that."""
        return self._locked(f"{project},", f"the volumes of {project}", None)

    def _locked(self, name: str, what: str, timeout: float | None) -> AbstractContextManager[None]:
        locks = self._root / ".locks"
        locks.mkdir(parents=True, exist_ok=True, mode=0o700)
        return durable.lock(locks / name, what=what, timeout=timeout)

    def remove(self, project: str, name: str) -> None:
        """Delete the volume with all data in it. It goes as a whole: whoever is killed meanwhile
        leaves it untouched, or gone but for the space on disk. Raises ``MountedInVolume``."""
        folder = self._root / project / name
        with self._changing(project, name):
            if points := mounts.below(folder):
                raise MountedInVolume(f"{project}/{name}", points[0])
            self._set_aside(folder)
        # Other volumes may be in it, or it is not there.
        with self._coming_or_going(project), suppress(OSError):
            folder.parent.rmdir()
        self._delete_gone(timeout=None)

    def _set_aside(self, folder: Path) -> None:
        gone = self._root / ".gone"
        gone.mkdir(exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):
            folder.rename(gone / os.urandom(8).hex())
            durable.sync_folder(folder.parent)

    def _delete_gone(self, *, timeout: float | None) -> None:
        """Delete what was set aside, by us or by somebody who was killed. Raises ``Locked``."""
        gone = self._root / ".gone"
        if not gone.exists() or not os.listdir(gone):
            return
        with self._locked(",gone", "the deletion of volumes", timeout):
            for name in sorted(os.listdir(gone)):
                files.remove(gone / name)

    def of(self, project: str) -> Iterator[VolumeSpec]:
        """The project's volumes, by name."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._root / project))
        except FileNotFoundError:
            return
        for name in names:
            record = self.record(project, name)
            if record is not None:
                yield record.spec

    def _write(self, record: VolumeRecord) -> None:
        path = self._root / record.spec.project / record.spec.name / "volume.json"
        content = encode(record)
        if not path.exists() or path.read_bytes() != content:
            durable.write(path, content)


def _make_data(data: Path) -> None:
    """Made beside its place, so that it is never seen with the mode that our umask gives."""
    if data.exists():
        return
    fresh = data.with_name(".data.new")
    fresh.mkdir(exist_ok=True)
    fresh.chmod(0o755)
    fresh.rename(data)


def anonymous_name(key: ContainerKey, target: str) -> str:
    """The name of the volume that ``key`` has at ``target`` without having named it.

    ``~`` cannot stand in a declared name, so the two never meet.
    """
    return f"{key.name}.{key.replica}~{hashlib.sha256(target.encode()).hexdigest()[:12]}"
