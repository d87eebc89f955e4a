"""What a container mounts: its spec's mounts as sources on this host, made ready to be mounted."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from runtime.api import (
    AnonymousMount,
    BindMount,
    ContainerKey,
    ContainerSpec,
    Mount,
    TmpfsMount,
    VolumeMount,
)
from runtime.embedded import faults
from runtime.embedded.bundle import config
from runtime.embedded.containers import etc_files, sharing
from runtime.embedded.ledger import ContainerRow, State
from runtime.embedded.linux import files, mounts, selinux
from runtime.embedded.paths import Paths
from runtime.embedded.store.images import Image
from runtime.embedded.volumes import Volumes, anonymous_name
from runtime.errors import Fault

_SHM = "/dev/shm"
_FORBIDDEN = {"nosuid": os.ST_NOSUID, "nodev": os.ST_NODEV, "noexec": os.ST_NOEXEC}


class SubpathMissing(Fault):
    """A volume has no such folder or file in it."""

    def __init__(self, volume: str, subpath: str, container: str) -> None:
        self.volume, self.subpath, self.container = volume, subpath, container
        super().__init__(
            f"{container} cannot be created",
            why=f"{subpath}, which it mounts, is not in the volume {volume}",
            hint="create it there, or correct `subpath:`; links do not lead out of a volume",
        )


class Mounts(msgspec.Struct, frozen=True, kw_only=True):
    """Finds and prepares what the containers of one instance mount."""

    paths: Paths
    volumes: Volumes

    def of(
        self, state: State, row: ContainerRow, image: Image
    ) -> tuple[config.Bind | config.Tmpfs, ...]:
        """All that is mounted beside the engine's own file systems. Raises
        ``BindSourceMissing``."""
        asked = tuple(self._mount(row, each) for each in all_mounts(row.spec, image))
        taken = {mount.target.rstrip("/") for mount in asked}
        ours = (*self._etc(state, row), *self._shm(state, row))
        return (*(each for each in ours if each.target not in taken), *asked)

    def prepare(self, row: ContainerRow) -> None:
        """Make what is mounted ready: folders that shall be made, volumes in memory, places within
        volumes. Repeating it is harmless. Raises ``SubpathMissing`` and faults of ``Volumes``."""
        for mount in row.spec.mounts:
            match mount:
                case VolumeMount():
                    self._prepare_volume(row, mount)
                case BindMount():
                    _prepare_bind(row, mount)
        if row.spec.ipc == "shareable":
            _mount_shm(self._own_shm(row), row.spec)

    def _prepare_volume(self, row: ContainerRow, mount: VolumeMount) -> None:
        project = row.key.project
        self.volumes.prepare(project, mount.volume)
        if mount.subpath is not None:
            self._bind_subpath(row, mount)
        if mount.relabel:
            source = self._volume_source(row, mount)
            selinux.relabel(source, row.id if mount.relabel == "Z" else None)

    def _bind_subpath(self, row: ContainerRow, mount: VolumeMount) -> None:
        """What is found now is bound to a place of ours: whoever changes the volume later cannot
        lead the OCI runtime elsewhere."""
        place, data = self._subpath(row, mount), self.volumes.data(row.key.project, mount.volume)
        if mounts.is_mount_point(place):
            return
        fd = _open_within(data, mount, str(row.key))
        try:
            place.parent.mkdir(exist_ok=True, mode=0o700)
            if Path(f"/proc/self/fd/{fd}").is_dir():
                place.mkdir(exist_ok=True)
            else:
                place.touch()
            mounts.bind(f"/proc/self/fd/{fd}", str(place))
        finally:
            os.close(fd)

    def _subpath(self, row: ContainerRow, mount: VolumeMount) -> Path:
        name = f"{zlib.crc32(mount.target.encode()):08x}"
        return self.paths.bundle(row.id) / "subpaths" / name

    def _mount(self, row: ContainerRow, mount: Mount) -> config.Bind | config.Tmpfs:
        match mount:
            case TmpfsMount():
                return config.Tmpfs(
                    target=mount.target, size=mount.size, mode=mount.mode, options=mount.options
                )
            case BindMount():
                return _bind(row.key, mount)
            case VolumeMount():
                source = self._volume_source(row, mount)
                own = self.volumes.is_read_only(row.key.project, mount.volume)
                return config.Bind(
                    source=str(source),
                    target=mount.target,
                    read_only=mount.read_only or own,
                    kind="file" if source.is_file() else "dir",
                    kept=_kept(source),
                )
            case AnonymousMount():
                name = anonymous_name(row.key, mount.target)
                source = self.volumes.data(row.key.project, name)
                return config.Bind(source=str(source), target=mount.target)

    def _volume_source(self, row: ContainerRow, mount: VolumeMount) -> Path:
        if mount.subpath is not None:
            return self._subpath(row, mount)
        return self.volumes.data(row.key.project, mount.volume)

    def _etc(self, state: State, row: ContainerRow) -> Iterator[config.Bind]:
        for name, source in etc_files.sources(state, row, self.paths).items():
            yield config.Bind(source=str(source), target=f"/etc/{name}", kind="file")

    def _shm(self, state: State, row: ContainerRow) -> Iterator[config.Bind]:
        """/dev/shm goes with the IPC namespace; one of its own is the engine's usual mount."""
        whose = sharing.owner(state, row, "ipc")
        if whose.spec.ipc == "host":
            yield config.Bind(source=_SHM, target=_SHM, kept=tuple(_FORBIDDEN))
        elif whose.spec.ipc == "shareable":
            own = str(self._own_shm(whose))
            yield config.Bind(source=own, target=_SHM, kept=tuple(_FORBIDDEN))

    def _own_shm(self, row: ContainerRow) -> Path:
        return self.paths.bundle(row.id) / "shm"


def all_mounts(spec: ContainerSpec, image: Image) -> tuple[Mount, ...]:
    """The spec's mounts, and an anonymous volume for each VOLUME of the image that none covers."""
    taken = {mount.target.rstrip("/") for mount in spec.mounts}
    return (
        *spec.mounts,
        *(
            AnonymousMount(target=path)
            for path in sorted(image.defaults.volumes)
            if path.rstrip("/") not in taken
        ),
    )


def seeded(spec: ContainerSpec, image: Image, key: ContainerKey) -> Iterator[tuple[str, str]]:
    """Volumes that get what the image has where they are mounted, if they are new: pairs of name
    and target."""
    for mount in all_mounts(spec, image):
        if isinstance(mount, AnonymousMount):
            yield anonymous_name(key, mount.target), mount.target
        elif isinstance(mount, VolumeMount) and mount.copy and mount.subpath is None:
            yield mount.volume, mount.target


def _bind(key: ContainerKey, mount: BindMount) -> config.Bind:
    source = Path(mount.source)
    if not source.exists():
        raise faults.BindSourceMissing(mount.source, str(key))
    return config.Bind(
        source=mount.source,
        target=mount.target,
        read_only=mount.read_only,
        kind="dir" if source.is_dir() else "file",
        propagation=mount.propagation or "rprivate",
        kept=_kept(source),
    )


def _kept(source: Path) -> tuple[str, ...]:
    """What the host does not allow where the source lies, statvfs(3): nor may a container."""
    flags = os.statvfs(source).f_flag
    return tuple(word for word, flag in _FORBIDDEN.items() if flags & flag)


def _prepare_bind(row: ContainerRow, mount: BindMount) -> None:
    source = Path(mount.source)
    if mount.create_source and not source.exists():
        source.mkdir(parents=True, exist_ok=True)
        source.chmod(0o755)  # whatever our umask
    if mount.relabel and source.exists():
        selinux.relabel(source, row.id if mount.relabel == "Z" else None)


def _open_within(data: Path, mount: VolumeMount, container: str) -> int:
    """A descriptor of the place within the volume; links end inside it, whatever they say."""
    subpath = mount.subpath or "."
    folder = os.open(data, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return files.openat2(folder, os.fsencode(subpath), os.O_PATH, files.RESOLVE_IN_ROOT)
    except OSError as error:
        raise SubpathMissing(mount.volume, subpath, container) from error
    finally:
        os.close(folder)


def _mount_shm(place: Path, spec: ContainerSpec) -> None:
    if mounts.is_mount_point(place):
        return
    place.mkdir(exist_ok=True)
    size = config.SHM_SIZE if spec.shm_size is None else spec.shm_size
    flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
    mounts.mount("shm", str(place), "tmpfs", flags, f"mode=1777,size={size}")
