"""What a generation's bundle says: its spec, image and row as files that an OCI runtime reads."""

from pathlib import Path

import msgspec

from runtime import durable, programs
from runtime.api import ContainerSpec
from runtime.embedded import cgroups, faults, hostfacts, limits
from runtime.embedded.bundle import (
    capabilities,
    command,
    config,
    confinement,
    devices,
    filters,
    init,
    platforms,
    program,
    sysctls,
    ulimits,
    users,
)
from runtime.embedded.containers import etc_files, sharing
from runtime.embedded.containers.mounting import Mounts, all_mounts
from runtime.embedded.hostfacts import HostFacts
from runtime.embedded.ledger import ContainerRow, State
from runtime.embedded.paths import Paths
from runtime.embedded.process.supervise import Manner
from runtime.embedded.store.images import Image


class Bundles(msgspec.Struct, frozen=True, kw_only=True):
    """Writes the bundles of one instance."""

    paths: Paths
    mounts: Mounts
    layout: cgroups.Layout

    def cgroup(self, row: ContainerRow) -> str:
        return cgroups.path_for(self.paths.cgroup, row.key.project, row.id)

    def manner(self, state: State, row: ContainerRow) -> Manner:
        """How its process is run. Raises ``ProgramMissing`` for an OCI runtime that is not here."""
        spec = row.spec
        return Manner(
            terminal=spec.tty,
            stdin=spec.stdin_open,
            oci=programs.find(spec.runtime) if spec.runtime else "",
            logging=spec.logging,
            joins=sharing.joins(state, row, self.paths),
        )

    def write(self, state: State, row: ContainerRow, image: Image, root: Path) -> None:
        """Write it all. Raises a fault for what cannot be run."""
        platforms.check(image.platform, hostfacts.read().machine, str(row.key))
        self.manner(state, row)  # whatever is missing for that is told now
        self.mounts.prepare(row)
        etc_files.write(state, row, self.paths)
        text = config.build(self._config(state, row, image, root))
        durable.write(self.paths.bundle(row.id) / "config.json", text, sync=False)

    def _config(
        self, state: State, row: ContainerRow, image: Image, root: Path
    ) -> config.BundleInput:
        spec, host, name = row.spec, hostfacts.read(), str(row.key)
        account = users.account(root, command.user(spec, image.defaults), spec.group_add)
        hostname = etc_files.hostname(row)
        what = command.merge(spec, image.defaults, hostname=hostname, home=account.home)
        targets = [mount.target.rstrip("/") for mount in all_mounts(spec, image)]
        program.check(root, what, targets, name)
        caps = _capabilities(spec, host)
        rules = confinement.filter_of(spec, caps, machine=host.machine, kernel=host.kernel_version)
        namespaces = sharing.namespaces(state, row, self.paths, self.layout.kind)
        sysctls.check(spec.sysctls, namespaces, name)
        filtered = {} if rules is None else filters.annotations(rules, self.paths.run / "seccomp")
        return config.BundleInput(
            id=row.id,
            rootfs=str(root),
            args=(init.PLACE, "--", *what.args) if spec.init else what.args,
            env=what.env,
            cwd=what.cwd,
            hostname=hostname,
            namespaces=namespaces,
            cgroups_path=self.cgroup(row),
            seccomp=rules,
            capabilities=caps,
            limits=limits.of(spec),
            swap=self._swap(spec),
            uid=account.uid,
            gid=account.gid,
            groups=account.groups,
            terminal=spec.tty,
            no_new_privileges=confinement.gains_nothing(spec),
            read_only=spec.read_only,
            mounts=(*self.mounts.of(state, row, image), *_init(spec)),
            shm_size=config.SHM_SIZE if spec.shm_size is None else spec.shm_size,
            nodes=_nodes(spec, name),
            device_rules=tuple(devices.rule(each) for each in spec.device_cgroup_rules),
            rlimits=ulimits.resolve(
                spec.ulimits, host.hard_limits, may_raise="SYS_RESOURCE" in host.capabilities
            ),
            sysctls=_sysctls(spec),
            oom_score_adj=_oom_score(spec, host, name),
            apparmor=confinement.apparmor(spec, name),
            opened=spec.privileged or spec.security.unmask,
            privileged=spec.privileged,
            annotations={**filtered, **spec.annotations},
        )

    def _swap(self, spec: ContainerSpec) -> int | None:
        wanted = limits.of(spec)
        limits.check(wanted)
        if wanted.mem_limit is None or not limits.counts_swap(self.layout):
            return None
        both = limits.with_swap(wanted)
        return -1 if both is None else both


def _capabilities(spec: ContainerSpec, host: HostFacts) -> tuple[str, ...]:
    add = ("ALL",) if spec.privileged else spec.cap_add
    return capabilities.resolve(add, spec.cap_drop, host.capabilities)


def _init(spec: ContainerSpec) -> tuple[config.Bind, ...]:
    if not spec.init:
        return ()
    return (config.Bind(source=str(init.find()), target=init.PLACE, kind="file", read_only=True),)


def _nodes(spec: ContainerSpec, container: str) -> tuple[devices.Node, ...]:
    asked = tuple(node for each in spec.devices for node in devices.nodes(each, container))
    if not spec.privileged:
        return asked
    taken = {node.path for node in asked}
    return (*asked, *(node for node in devices.all_nodes() if node.path not in taken))


def _sysctls(spec: ContainerSpec) -> dict[str, str]:
    if not spec.domainname or spec.uts == "host":
        return spec.sysctls
    return {**spec.sysctls, "kernel.domainname": spec.domainname}


def _oom_score(spec: ContainerSpec, host: HostFacts, container: str) -> int:
    """Ours where nothing is asked, but never better than an ordinary process's."""
    asked = spec.oom_score_adj
    if asked is None:
        return max(0, host.oom_score_adj)
    if asked < min(0, host.oom_score_adj) and "SYS_RESOURCE" not in host.capabilities:
        raise faults.OomScoreTooLow(container, asked)
    return asked
