"""From a row of the ledger to a running process, and back to nothing.

A generation has a kept part (``lib/containers/<id>``: writable layer, log, its spec as applied)
and a boot's part (``run/bundles/<id>``: OCI bundle, conmon's files, mounted root). ``make`` makes
the first, ``start`` the second; after a reboot ``start`` alone is enough.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path

import msgspec

from runtime import programs
from runtime.api import (
    AnonymousMount,
    ContainerKey,
    ContainerSpec,
    PortSpec,
    VolumeSpec,
)
from runtime.embedded import boot, cgroups, faults, limits
from runtime.embedded.bundle import command, files
from runtime.embedded.containers import applied, etc_files, sharing
from runtime.embedded.containers.bundles import Bundles
from runtime.embedded.containers.mounting import all_mounts, seeded
from runtime.embedded.health import record as health
from runtime.embedded.layers import overlay
from runtime.embedded.ledger import ContainerRow, State, Writer
from runtime.embedded.linux import listeners, mounts, namespaces, rtnetlink
from runtime.embedded.linux.netlink import Netlink
from runtime.embedded.linux.signals import signal_number
from runtime.embedded.network import allocation, promises
from runtime.embedded.network.kernel import Network
from runtime.embedded.paths import Paths
from runtime.embedded.process.supervise import Supervisor
from runtime.embedded.router.ends import FIRST_INTERFACE
from runtime.embedded.store.images import Image, ImageStore
from runtime.embedded.volumes import Volumes, anonymous_name

_POLL = 0.02  # seconds


class Generations(msgspec.Struct, frozen=True, kw_only=True):
    """Makes, starts, changes and removes generations of one instance. ``host_lock`` is held
    around what touches the network, whose doors are for one thread at a time; ``read`` gives the
    ledger's state."""

    paths: Paths
    store: ImageStore
    volumes: Volumes
    bundles: Bundles
    supervisor: Supervisor
    network: Network
    layout: cgroups.Layout
    host_lock: Callable[[], AbstractContextManager[None]]
    read: Callable[[], State]

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
            whole=False,
            spec=spec,
            image=image.id,
            command=command.arguments(spec, image.defaults),
            volumes=tuple(
                anonymous_name(key, mount.target)
                for mount in all_mounts(spec, image)
                if isinstance(mount, AnonymousMount)
            ),
            created=time.time(),
            shares=sharing.joined(state, key, spec),
            places=allocation.places(state, key, spec, (), writer.next_serial),
        )

    def make(self, state: State, row: ContainerRow, image: Image) -> None:
        """The kept part, the volumes' first content, and the bundle: what cannot be run is refused
        now, while an old generation still serves. Repeating it is harmless."""
        programs.find("conmon")  # missing, it is told now and not after an old generation stopped
        kept = self.paths.container(row.id)
        for folder, mode in ((kept, 0o700), (kept / "upper", 0o755), (kept / "work", 0o700)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)  # the upper one's is that of the container's /, whatever our umask
        applied.note(self.paths, row)
        health.keep_image(kept, image.defaults.healthcheck)
        root = self._mount_root(row, image)
        self.bundles.write(state, row, image, root)
        for name in row.volumes:
            self.volumes.create(VolumeSpec(project=row.key.project, name=name))
        for name, target in seeded(row.spec, image, row.key):
            self.volumes.seed(row.key.project, name, root, target)

    def _mount_root(self, row: ContainerRow, image: Image) -> Path:
        root = self.paths.bundle(row.id) / "rootfs"
        root.mkdir(parents=True, exist_ok=True, mode=0o755)
        if not mounts.is_other_file_system(root):
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
            self.supervisor.discard(row.id, self.bundles.cgroup(row))  # what works on the lost one
        root = self._mount_root(row, image)
        # After a reboot there is none, after an update that was not finished it is an old one.
        there = (self.paths.bundle(row.id) / "config.json").exists()
        if not there or applied.is_behind(self.paths, row):
            self.bundles.write(state, row, image, root)
            applied.note(self.paths, row)
        else:
            self.bundles.mounts.prepare(row)
        boot.note_bundle(self.paths, row.id)
        self.connect(row.id)
        manner = self.bundles.manner(state, row)
        self.supervisor.launch(row.id, self.bundles.cgroup(row), row.spec.restart, manner)

    def mend(self, state: State, row: ContainerRow) -> None:
        """Finish an update that was begun, restore what is broken of its links and names."""
        if applied.is_behind(self.paths, row):
            self.update(state, row)
        else:
            self.connect(row.id)

    def connect(self, id: str) -> None:
        """Its namespace, links and name files as the ledger says now: others may have changed a
        network of its since the caller looked. The process is not touched."""
        with self.host_lock():
            state = self.read()
            row = state.containers.get(id)
            if row is None:
                return
            self._link(state, row)
        if self.paths.bundle(id).is_dir():
            etc_files.write(state, row, self.paths)

    def reconnect(self, id: str) -> None:
        """The same after a network of its changed, unless somebody removes it meanwhile: he takes
        its namespace first, under the same lock."""
        with self.host_lock():
            state = self.read()
            row = state.containers.get(id)
            if row is None or not namespaces.exists(self.paths.namespace(id)):
                return
            self._link(state, row)
        with suppress(FileNotFoundError):  # the bundle goes at this moment
            etc_files.write(state, row, self.paths)

    def _link(self, state: State, row: ContainerRow) -> None:
        place = self.paths.namespace(row.id)
        wanted = promises.links(state, row, self.paths, self.supervisor.state(row.id).pid)
        if wanted:
            self.network.connect(*wanted)
        if wanted and row.spec.mac_address:
            _name_hardware(place, row.spec.mac_address)
        if row.spec.network_mode == "none" or not (wanted or row.spec.network_mode):
            _isolate(place)

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
        hoped = wanted.union(*(self._own_ports(row.key.project, id) for id in predecessors))
        until = time.monotonic() + timeout
        while True:
            state = self.supervisor.state(row.id)
            if state.pid is None:
                raise faults.EndedEarly(str(row.key), state.exit_code)
            now = listeners.listening(state.pid)
            missing = wanted - now
            late = time.monotonic() > until
            if hoped <= now or (late and not missing):
                return
            if late:
                raise faults.NotReady(
                    str(row.key), ", ".join(f"{port}/tcp" for port in sorted(missing)), timeout
                )
            time.sleep(_POLL)

    def _own_ports(self, project: str, id: str) -> frozenset[int]:
        """Where it listens itself, whoever else lives in its network."""
        pid = self.supervisor.state(id).pid
        group = cgroups.path_for(self.paths.cgroup, project, id)
        pids = cgroups.processes(self.layout, group)
        return frozenset() if pid is None else listeners.own(pid, pids)

    def update(self, state: State, row: ContainerRow) -> None:
        """Make the fields that change in place as ``row`` says; repeating it is harmless.

        What a restart reads (wish, ``config.json``) comes first, what was applied is noted last:
        whoever is killed between leaves an update that is seen to be unfinished.
        """
        wanted, group = limits.of(row.spec), self.bundles.cgroup(row)
        self.supervisor.change(row.id, row.spec.restart, row.spec.logging)
        root = self.paths.bundle(row.id) / "rootfs"
        before, live = applied.last(self.paths, row), limits.read(self.layout, group, wanted)
        limited = before is not None and limits.of(before) == wanted == live
        if mounts.is_other_file_system(root) and not limited:
            self.bundles.write(state, row, self.store.image(row.image), root)
        if self.supervisor.state(row.id).pid is not None:
            limits.write(self.layout, group, wanted)
            self.connect(row.id)
        applied.note(self.paths, row)

    # --- ending -----------------------------------------------------------------------------

    def stop(self, row: ContainerRow, *, by_hand: bool) -> None:
        """Signal, grace period, kill. A generation whose bundle is gone is killed by its cgroup."""
        if not self.is_bundled(row):
            self.supervisor.discard(row.id, self.bundles.cgroup(row))
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
        self.supervisor.discard(row.id, self.bundles.cgroup(row))
        with self.host_lock():
            self.network.disconnect(promises.links(state, row, self.paths))
        namespaces.remove(self.paths.namespace(row.id))  # also one that has no links
        overlay.unmount(bundle / "rootfs")
        mounts.remove_unmounting(bundle)
        mounts.remove_unmounting(self.paths.container(row.id))


def _name_hardware(namespace: Path, address: str) -> None:
    """Give the first interface its hardware address."""
    with closing(Netlink.within(namespace)) as netlink:
        netlink.request([rtnetlink.set_hardware_address(FIRST_INTERFACE, address)])


def _isolate(namespace: Path) -> None:
    """A network namespace with nothing but its loopback; idempotent."""
    namespaces.create(namespace)
    with closing(Netlink.within(namespace)) as netlink:
        netlink.request([rtnetlink.set_up(rtnetlink.LOOPBACK)])
