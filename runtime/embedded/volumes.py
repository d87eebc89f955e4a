"""Volumes: a folder each, with the spec that made it beside the data.

    volumes/<project>/<name>/volume.json   applied, and whether the content was seeded
    volumes/<project>/<name>/data/         what containers mount
    volumes/.locks/                        whose record or content is being made
    volumes/.gone/<unique>/                removed, but not all deleted yet

A volume that says where its data is (``driver_opts``) has no ``data``: a folder of the host is
used where it is, a tmpfs is mounted below ``run`` and lives as long as the boot. Of an external
one there is the record only, which leads to the volume of another project.

Anonymous volumes are named after the container and the path that they are mounted on, so that
every generation of it finds them again.
"""

import errno
import hashlib
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import msgspec

from runtime import durable
from runtime.api import ContainerKey, ObservedVolume, VolumeSpec, VolumeUse, encode
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


class NoSuchVolume(Fault):
    """An external volume, or one that a container names, does not exist."""

    def __init__(self, volume: str) -> None:
        self.volume = volume
        super().__init__(
            f"there is no volume {volume}",
            why="no project on this machine has one that it calls so",
            hint="apply the project that it belongs to first, or correct the name",
        )


class UnsupportedDriver(Fault):
    """``driver_opts`` ask for what is not carried out here."""

    def __init__(self, volume: str, cause: str) -> None:
        self.volume = volume
        super().__init__(
            f"volume {volume} cannot be made",
            why=cause,
            hint="carried out are type none with o=bind and a folder as device, and type tmpfs; "
            "mount anything else on the host and bind that folder",
        )


class VolumeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``seeded``: the image's content was copied in, or there was data; it is never done twice.
    ``created`` in seconds since the epoch."""

    spec: VolumeSpec
    seeded: bool = False
    created: float = 0.0


class Volumes:
    """The volumes below ``root``; ``run`` is for what lives as long as the boot. Every call may be
    repeated."""

    def __init__(self, root: Path, run: Path) -> None:
        self._root = root
        self._run = run

    def data(self, project: str, name: str) -> Path:
        """The folder that containers mount; that of a tmpfs is mounted only after ``prepare``."""
        spec = self._meant(project, name)
        if spec is None or not spec.driver_opts:
            owner, own = (project, name) if spec is None else (spec.project, spec.name)
            return self._root / owner / own / "data"
        if spec.driver_opts.get("type") == "tmpfs":
            return self._run / spec.project / spec.name
        return Path(spec.driver_opts["device"])

    def is_read_only(self, project: str, name: str) -> bool:
        """Whether the volume itself says so, for whoever mounts it."""
        spec = self._meant(project, name)
        return spec is not None and "ro" in _words(spec)

    def prepare(self, project: str, name: str) -> None:
        """Its data can be mounted after this. Raises ``NoSuchVolume``, ``UnsupportedDriver``."""
        spec = self._meant(project, name)
        if spec is None:
            raise NoSuchVolume(f"{project}_{name}")
        if spec.driver_opts.get("type") == "tmpfs":
            with self._changing(spec.project, spec.name):
                _mount_tmpfs(self.data(spec.project, spec.name), spec)
        elif spec.driver_opts:
            _check_driver(spec)

    def _meant(self, project: str, name: str) -> VolumeSpec | None:
        """Its own definition, of an external one its owner's; None when it is not there."""
        record = self.record(project, name)
        if record is None or not record.spec.external:
            return None if record is None else record.spec
        return self._known_as(record.spec.known_as)

    def _known_as(self, full_name: str) -> VolumeSpec | None:
        everyone = (spec for project in self.projects() for spec in self._recorded(project))
        owned = (spec for spec in everyone if not spec.external)
        return next((spec for spec in owned if spec.known_as == full_name), None)

    def projects(self) -> list[str]:
        """Those that have volumes."""
        if not self._root.exists():
            return []
        names = (entry.name for entry in os.scandir(self._root) if entry.is_dir())
        return sorted(name for name in names if not name.startswith("."))

    def create(self, spec: VolumeSpec) -> None:
        """Make the volume; data that is there is kept, owner and mode are set as asked. Of an
        external one it is checked that its owner has it. Raises ``NoSuchVolume`` and
        ``UnsupportedDriver``."""
        if spec.external and self._known_as(spec.known_as) is None:
            raise NoSuchVolume(spec.known_as)
        if spec.driver_opts:
            _check_driver(spec)
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
        if not spec.external and not spec.driver_opts:
            _make_data(data)
            _dress(data, spec)
        record = self.record(spec.project, spec.name) or VolumeRecord(
            spec=spec, created=time.time()
        )
        self._write(msgspec.structs.replace(record, spec=spec))

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
        this call the folder is the one that stays. What lies elsewhere (``driver_opts``) is left
        as it is."""
        spec = self._meant(project, name)
        if spec is None or spec.driver_opts:
            return
        project, name = spec.project, spec.name
        if not self._is_unseeded(project, name):
            return
        with self._changing(project, name):
            record = self.record(project, name)
            if record is not None and not record.seeded:
                self._fill(record.spec, rootfs, target)
                self._write(msgspec.structs.replace(record, seeded=True))

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
        self._let_go(project, name)
        self._delete_gone(timeout=None)

    def _let_go(self, project: str, name: str) -> Path:
        """Take the volume out of sight; returns where it is to be deleted, if it was there."""
        folder = self._root / project / name
        with self._changing(project, name):
            _unmount_tmpfs(self._run / project / name)
            if points := mounts.below(folder):
                raise MountedInVolume(f"{project}/{name}", points[0])
            gone = self._set_aside(folder)
        # Other volumes may be in it, or it is not there.
        with self._coming_or_going(project), suppress(OSError):
            folder.parent.rmdir()
        return gone

    def _set_aside(self, folder: Path) -> Path:
        gone = self._root / ".gone"
        gone.mkdir(exist_ok=True, mode=0o700)
        place = gone / os.urandom(8).hex()
        with suppress(FileNotFoundError):
            folder.rename(place)
            durable.sync_folder(folder.parent)
        return place

    def _delete_gone(self, *, timeout: float | None) -> None:
        """Delete what was set aside, by us or by somebody who was killed. Raises ``Locked``."""
        gone = self._root / ".gone"
        if not gone.exists() or not os.listdir(gone):
            return
        with self._locked(",gone", "the deletion of volumes", timeout):
            for name in sorted(os.listdir(gone)):
                files.remove(gone / name)

    def of(self, project: str) -> Iterator[ObservedVolume]:
        """The project's volumes, by name; an external one that its owner has no more is none."""
        for spec in self._recorded(project):
            if self._meant(project, spec.name) is not None:
                record = self.record(project, spec.name)
                yield ObservedVolume(
                    applied=spec,
                    path=str(self.data(project, spec.name)),
                    created=0.0 if record is None else record.created,
                )

    def known(self, external: VolumeSpec) -> ObservedVolume | None:
        """A volume of another project, None when nobody has one that is known so."""
        spec = self._known_as(external.known_as)
        if spec is None:
            return None
        everything = self.of(spec.project)
        return next((each for each in everything if each.applied.name == spec.name), None)

    def forget_externals(self, project: str) -> None:
        """The project is gone, and with it its names for volumes of others. Whoever deletes data
        meanwhile is not waited for."""
        for spec in list(self._recorded(project)):
            if spec.external:
                files.remove(self._let_go(project, spec.name))

    def uses(self) -> tuple[VolumeUse, ...]:
        """The volumes of all projects, but for those that are another's."""
        return tuple(
            VolumeUse(project=project, volume=volume, owner=anonymous_owner(volume.applied.name))
            for project in self.projects()
            for volume in self.of(project)
            if not volume.applied.external
        )

    def _recorded(self, project: str) -> Iterator[VolumeSpec]:
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


def _dress(data: Path, spec: VolumeSpec) -> None:
    if spec.owner is not None:
        os.chown(data, *spec.owner)
    if spec.mode is not None:
        data.chmod(spec.mode)


# --- volumes that say where their data is ---------------------------------------------------

_BIND_WORDS = {"bind", "rbind", "rw", "ro"}


def _words(spec: VolumeSpec) -> list[str]:
    """Options as mount(8) has them after -o."""
    return [word for word in spec.driver_opts.get("o", "").split(",") if word]


def _check_driver(spec: VolumeSpec) -> None:
    """Raises ``UnsupportedDriver``."""
    if cause := _objection(spec):
        raise UnsupportedDriver(spec.known_as, cause)


def _objection(spec: VolumeSpec) -> str:
    options, words = spec.driver_opts, _words(spec)
    kind, device = options.get("type", "none"), options.get("device", "")
    if unknown := sorted(options.keys() - {"type", "o", "device"}):
        return f"driver_opts has {unknown[0]}, which nobody reads"
    if kind == "tmpfs":
        return ""
    if kind not in ("none", "bind") or not {"bind", "rbind"} & {*words, kind}:
        return f"its type is {kind} with the options {','.join(words) or 'none'}"
    if strange := [word for word in words if word not in _BIND_WORDS]:
        return f"the option {strange[0]} is not carried out for a folder of the host"
    if not device.startswith("/") or not Path(device).is_dir():
        return f"{device or 'its device'} is no folder of the host"
    return ""


# Words of mount(8) that are flags of mount(2) and no options of the file system: what they set.
_FLAGS = {
    "ro": 0, "rw": 0, "suid": 0, "dev": 0, "exec": 0, "relatime": 0,
    "nosuid": mounts.MS_NOSUID, "nodev": mounts.MS_NODEV, "noexec": mounts.MS_NOEXEC,
    "noatime": mounts.MS_NOATIME, "nodiratime": mounts.MS_NODIRATIME,
}  # fmt: skip


def _mount_tmpfs(place: Path, spec: VolumeSpec) -> None:
    """Raises ``UnsupportedDriver`` for options that the kernel does not have."""
    if place.is_mount():
        return
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    words = _words(spec)
    flags = mounts.MS_NOSUID | mounts.MS_NODEV
    for word in words:
        flags |= _FLAGS.get(word, 0)
    options = [word for word in words if word not in _FLAGS]
    # With the mount and not after it: whoever is killed between would leave it as it is.
    if spec.owner is not None:
        options += [f"uid={spec.owner[0]}", f"gid={spec.owner[1]}"]
    if spec.mode is not None:
        options.append(f"mode={spec.mode:o}")
    try:
        mounts.mount("tmpfs", str(place), "tmpfs", flags, ",".join(options))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        cause = f"the kernel knows no tmpfs with the options {','.join(options)}"
        raise UnsupportedDriver(spec.known_as, cause) from error


def _unmount_tmpfs(place: Path) -> None:
    if place.is_mount():
        mounts.unmount(str(place))


def anonymous_owner(name: str) -> str:
    """The container that a volume with this name belongs to, "" for a named one."""
    container, tilde, _ = name.partition("~")
    return container.removesuffix(".1") if tilde else ""


def anonymous_name(key: ContainerKey, target: str) -> str:
    """The name of the volume that ``key`` has at ``target`` without having named it.

    ``~`` cannot stand in a declared name, so the two never meet.
    """
    return f"{key.name}.{key.replica}~{hashlib.sha256(target.encode()).hexdigest()[:12]}"
