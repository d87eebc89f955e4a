"""From a row of the ledger to a running process, and back to nothing.

A generation has a kept part (``lib/containers/<id>``: writable layer, log, its spec as applied)
and a boot's part (``run/bundles/<id>``: OCI bundle, conmon's files, mounted root). ``make`` makes
the first, ``start`` the second; after a reboot ``start`` alone is enough.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from runtime import durable, programs
from runtime.api import (
    AnonymousMount,
    BindMount,
    ContainerKey,
    ContainerSpec,
    Limits,
    Mount,
    PortSpec,
    TmpfsMount,
    VolumeMount,
    VolumeSpec,
    encode,
)
from runtime.embedded import allocation, boot, cgroups, faults, hostfacts, promises
from runtime.embedded.bundle import (
    capabilities,
    command,
    config,
    files,
    filters,
    program,
    seccomp,
    users,
)
from runtime.embedded.dns import zones
from runtime.embedded.layers import overlay
from runtime.embedded.ledger import ContainerRow, State, Writer
from runtime.embedded.listeners import listening
from runtime.embedded.network import Network
from runtime.embedded.paths import Paths
from runtime.embedded.process.supervise import Supervisor
from runtime.embedded.signals import signal_number
from runtime.embedded.store.images import Image, ImageStore
from runtime.embedded.volumes import Volumes, anonymous_name

_POLL = 0.02  # seconds


class Generations(msgspec.Struct, frozen=True, kw_only=True):
    """Makes, starts, changes and removes generations of one instance. ``host_lock`` is held
    around what touches the network, whose doors are for one thread at a time."""

    paths: Paths
    store: ImageStore
    volumes: Volumes
    supervisor: Supervisor
    network: Network
    layout: cgroups.Layout
    host_lock: Callable[[], AbstractContextManager[None]]

    # --- making -----------------------------------------------------------------------------

    def image(self, spec: ContainerSpec, container: str) -> Image:
        """The image that ``spec`` means. Raises ``ImageMissing``."""
        image = self.store.find(spec.image)
        if image is None:
            raise faults.ImageMissing(spec.image, container)
        return image

    def row(
        self,
        writer: Writer,
        id: str,
        key: ContainerKey,
        generation: int,
        spec: ContainerSpec,
        image: Image,
    ) -> ContainerRow:
        """The intent to make it, with fresh addresses."""
        state = writer.state()
        return ContainerRow(
            id=id,
            key=key,
            generation=generation,
            serial=writer.next_serial(),
            whole=False,
            spec=spec,
            image=image.id,
            command=command.arguments(spec, image.defaults),
            volumes=tuple(
                anonymous_name(key, mount.target)
                for mount in _all_mounts(spec, image)
                if isinstance(mount, AnonymousMount)
            ),
            created=time.time(),
            addresses=allocation.generation_addresses(
                state, key.project, [each.network for each in spec.networks]
            ),
        )

    def make(self, state: State, row: ContainerRow, image: Image) -> None:
        """The kept part, the volumes' first content, and the bundle: what cannot be run is refused
        now, while an old generation still serves. Repeating it is harmless."""
        programs.find("conmon")  # missing, it is told now and not after an old generation stopped
        kept = self.paths.container(row.id)
        for folder, mode in ((kept, 0o700), (kept / "upper", 0o755), (kept / "work", 0o700)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)  # the upper one's is that of the container's /, whatever our umask
        # The ledger is what counts; this copy is for rebuilding it.
        durable.write(kept / "applied.json", encode(row.spec), sync=False)
        root = self._mount_root(row, image)
        self._write_bundle(state, row, image, root)
        for mount in _all_mounts(row.spec, image):
            if isinstance(mount, AnonymousMount):
                name = anonymous_name(row.key, mount.target)
                self.volumes.create(VolumeSpec(project=row.key.project, name=name))
            if isinstance(mount, AnonymousMount | VolumeMount):
                name = _volume_name(row.key, mount)
                self.volumes.seed(row.key.project, name, root, mount.target)

    def _mount_root(self, row: ContainerRow, image: Image) -> Path:
        root = self.paths.bundle(row.id) / "rootfs"
        root.mkdir(parents=True, exist_ok=True, mode=0o755)
        if not boot.is_mounted(root):
            kept = self.paths.container(row.id)
            layers = self.store.layers(image.id)
            overlay.mount(layers, kept / "upper", kept / "work", root)
        try:
            # Also one that stood already: whoever mounted it may have been killed before this.
            files.check_root(root)
        except files.HostileRoot:
            overlay.unmount(root)
            raise
        return root

    # --- starting ---------------------------------------------------------------------------

    def start(self, state: State, row: ContainerRow) -> None:
        """Make it run, from whatever is there."""
        image = self.store.image(row.image)
        if boot.has_lost_bundle(self.paths, row.id):
            self.supervisor.discard(row.id, self.cgroup(row))  # what works on the lost one
        root = self._mount_root(row, image)
        if not (self.paths.bundle(row.id) / "config.json").exists():  # after a reboot
            self._write_bundle(state, row, image, root)
        boot.note_bundle(self.paths, row.id)
        self.connect(state, row)
        self.supervisor.launch(row.id, self.cgroup(row), row.spec.restart)

    def connect(self, state: State, row: ContainerRow) -> None:
        """Its namespace and links as the ledger says; the process is not touched."""
        pid = self.supervisor.state(row.id).pid
        wanted = promises.links(state, row, self.paths, pid)
        with self.host_lock():
            for link in wanted:
                self.network.connect(link)

    def cgroup(self, row: ContainerRow) -> str:
        return cgroups.path_for(self.paths.cgroup, row.key.project, row.id)

    def _write_bundle(self, state: State, row: ContainerRow, image: Image, root: Path) -> None:
        bundle = self.paths.bundle(row.id)
        hostname = row.spec.hostname or row.id[:12]
        networks = [state.network_by_id(id) for id in row.addresses]
        texts = {
            "hosts": files.hosts(hostname, [str(each) for each in row.addresses.values()]),
            "hostname": files.hostname_file(hostname),
            "resolv.conf": zones.resolv_conf(networks[0].gateway) if networks else "",
        }
        for name, text in texts.items():
            durable.write(bundle / name, text.encode(), mode=0o644, sync=False)
        durable.write(bundle / "config.json", self._config(row, image, root), sync=False)

    def _config(self, row: ContainerRow, image: Image, root: Path) -> bytes:
        spec, bundle, host = row.spec, self.paths.bundle(row.id), hostfacts.read()
        hostname = spec.hostname or row.id[:12]
        account = users.account(root, command.user(spec, image.defaults))
        what = command.merge(spec, image.defaults, hostname=hostname, home=account.home)
        targets = [mount.target.rstrip("/") for mount in _all_mounts(spec, image)]
        program.check(root, what, targets, str(row.key))
        caps = capabilities.resolve(spec.cap_add, spec.cap_drop, host.capabilities)
        rules = self._seccomp(caps)
        etc = tuple(
            config.Bind(source=str(bundle / name), target=f"/etc/{name}", kind="file")
            for name in ("hosts", "hostname", "resolv.conf")
        )
        mounts = tuple(self._mount(row.key, each) for each in _all_mounts(spec, image))
        taken = {mount.target for mount in mounts}
        return config.build(
            config.BundleInput(
                id=row.id,
                rootfs=str(root),
                args=what.args,
                env=what.env,
                cwd=what.cwd,
                hostname=hostname,
                netns=str(self.paths.namespace(row.id)),
                cgroups_path=self.cgroup(row),
                seccomp=rules,
                capabilities=caps,
                limits=_limits(spec),
                uid=account.uid,
                gid=account.gid,
                groups=account.groups,
                read_only=spec.read_only,
                mounts=(*(each for each in etc if each.target not in taken), *mounts),
                rlimits=config.default_rlimits(host.hard_limits),
                oom_score_adj=max(0, host.oom_score_adj),
                cgroup_namespace=self.layout.kind is cgroups.Kind.V2,
                swap_factor=cgroups.SWAP_FACTOR if cgroups.counts_swap(self.layout) else None,
                annotations=filters.annotations(rules, self.paths.run / "seccomp"),
            )
        )

    def _seccomp(self, caps: Sequence[str]) -> dict[str, Any]:
        host = hostfacts.read()
        return seccomp.resolve(
            seccomp.load(), caps, machine=host.machine, kernel=host.kernel_version
        )

    def _mount(self, key: ContainerKey, mount: Mount) -> config.Bind | config.Tmpfs:
        match mount:
            case TmpfsMount():
                return config.Tmpfs(target=mount.target, size=mount.size, mode=mount.mode)
            case BindMount():
                return self._bind(key, mount)
            case VolumeMount() | AnonymousMount():
                return config.Bind(
                    source=str(self.volumes.data(key.project, _volume_name(key, mount))),
                    target=mount.target,
                    read_only=isinstance(mount, VolumeMount) and mount.read_only,
                )

    def _bind(self, key: ContainerKey, mount: BindMount) -> config.Bind:
        source = Path(mount.source)
        if not source.exists():
            raise faults.BindSourceMissing(mount.source, str(key))
        return config.Bind(
            source=mount.source,
            target=mount.target,
            read_only=mount.read_only,
            kind="dir" if source.is_dir() else "file",
        )

    # --- running ----------------------------------------------------------------------------

    def await_ready(
        self,
        row: ContainerRow,
        ports: Sequence[PortSpec],
        predecessors: Sequence[str],
        timeout: float,
    ) -> None:
        """Wait until it listens on ``ports``, and where ``predecessors`` (ids) listen: a newer
        version may have given those up, so they are waited for but not insisted on.

        Raises ``EndedEarly`` or ``NotReady``.
        """
        wanted = {port.container_port for port in ports if port.protocol == "tcp"}
        hoped = wanted.union(*(self._listening(id) for id in predecessors))
        until = time.monotonic() + timeout
        while True:
            state = self.supervisor.state(row.id)
            if state.pid is None:
                raise faults.EndedEarly(str(row.key), state.exit_code)
            now = listening(state.pid)
            missing = wanted - now
            late = time.monotonic() > until
            if hoped <= now or (late and not missing):
                return
            if late:
                raise faults.NotReady(
                    str(row.key), ", ".join(f"{port}/tcp" for port in sorted(missing)), timeout
                )
            time.sleep(_POLL)

    def _listening(self, id: str) -> frozenset[int]:
        pid = self.supervisor.state(id).pid
        return frozenset() if pid is None else listening(pid)

    def update(self, state: State, row: ContainerRow, before: ContainerSpec) -> None:
        """Make the fields that change in place as ``row`` says; ``before`` is what was applied.

        What a restart reads (wish, ``config.json``) comes first: whoever is killed later, or
        cannot set a limit, leaves limits that differ, and those are seen.
        """
        kept, wanted = self.paths.container(row.id), _limits(row.spec)
        durable.write(kept / "applied.json", encode(row.spec), sync=False)
        self.supervisor.change(row.id, row.spec.restart)
        live = cgroups.read_limits(self.layout, self.cgroup(row))
        root = self.paths.bundle(row.id) / "rootfs"
        if boot.is_mounted(root) and (wanted != _limits(before) or wanted != live):
            self._write_bundle(state, row, self.store.image(row.image), root)
        if self.supervisor.state(row.id).pid is not None:
            cgroups.write_limits(self.layout, self.cgroup(row), wanted)

    # --- ending -----------------------------------------------------------------------------

    def stop(self, row: ContainerRow, *, by_hand: bool) -> None:
        """Signal, grace period, kill. A generation whose bundle is gone is killed by its cgroup."""
        if not self.is_bundled(row):
            self.supervisor.discard(row.id, self.cgroup(row))
            return
        signal = row.spec.stop_signal
        if signal is None:
            image = self.store.find(row.image)
            signal = image.defaults.stop_signal if image is not None else ""
        number = signal_number(signal or "SIGTERM")
        self.supervisor.stop(row.id, number, row.spec.stop_grace_period, by_hand=by_hand)

    def is_bundled(self, row: ContainerRow) -> bool:
        """Whether the files by which it is supervised are there."""
        return self.paths.container(row.id).is_dir() and not boot.has_lost_bundle(
            self.paths, row.id
        )

    def remove(self, row: ContainerRow, state: State) -> None:
        """Nothing of it is left but its row; volumes stay."""
        bundle = self.paths.bundle(row.id)
        self.supervisor.discard(row.id, self.cgroup(row))
        with self.host_lock():
            self.network.disconnect(promises.links(state, row, self.paths))
        overlay.unmount(bundle / "rootfs")
        boot.remove_tree(bundle)
        boot.remove_tree(self.paths.container(row.id))


def _all_mounts(spec: ContainerSpec, image: Image) -> tuple[Mount, ...]:
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


def _volume_name(key: ContainerKey, mount: VolumeMount | AnonymousMount) -> str:
    if isinstance(mount, VolumeMount):
        return mount.volume
    return anonymous_name(key, mount.target)


def _limits(spec: ContainerSpec) -> Limits:
    """-1 processes is no limit, and the kernel is told none."""
    pids = None if spec.pids_limit < 0 else spec.pids_limit
    return Limits(mem_limit=spec.mem_limit, cpus=spec.cpus, pids_limit=pids)
