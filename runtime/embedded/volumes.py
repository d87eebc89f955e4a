"""Volumes: a folder each, with the spec that made it beside the data.

    volumes/<project>/<name>/volume.json   applied, and whether the content was seeded
    volumes/<project>/<name>/data/         what containers mount
    volumes/.locks/                        whose record or content is being made

Anonymous volumes are named after the container and the path that they are mounted on, so that
every generation of it finds them again.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from runtime import durable
from runtime.api import ContainerKey, VolumeSpec, encode
from runtime.embedded.linux import files


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
        with self._changing(spec.project, spec.name):
            self._create(spec)

    def _create(self, spec: VolumeSpec) -> None:
        folder = self._root / spec.project / spec.name
        data = folder / "data"
        for parent in (self._root, folder.parent, folder):
            parent.mkdir(parents=True, exist_ok=True)
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
        if not any(os.scandir(data)):
            seed.copy(rootfs, target, data)
            self._create(spec)  # a declared owner or mode outranks the image's

    def _changing(self, project: str, name: str) -> AbstractContextManager[None]:
        """Be the only one to change this volume's record or folder."""
        locks = self._root / ".locks"
        locks.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Neither name can hold a comma.
        return durable.lock(locks / f"{project},{name}", what=f"volume {project}/{name}")

    def remove(self, project: str, name: str) -> None:
        """Delete the volume with all data in it."""
        folder = self._root / project / name
        files.remove(folder)
        if folder.parent.exists() and not any(os.scandir(folder.parent)):
            folder.parent.rmdir()

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


def is_anonymous(name: str) -> bool:
    return "~" in name
