"""What a generation's bundle says: its spec, image and row as files that an OCI runtime reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from runtime import durable
from runtime.api import (
    AnonymousMount,
    BindMount,
    ContainerKey,
    ContainerSpec,
    Limits,
    Mount,
    TmpfsMount,
    VolumeMount,
)
from runtime.embedded import cgroups, faults, hostfacts
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
from runtime.embedded.ledger import ContainerRow, State
from runtime.embedded.paths import Paths
from runtime.embedded.store.images import Image
from runtime.embedded.volumes import Volumes, anonymous_name


class Bundles(msgspec.Struct, frozen=True, kw_only=True):
    """Writes the bundles of one instance."""

    paths: Paths
    volumes: Volumes
    layout: cgroups.Layout

    def cgroup(self, row: ContainerRow) -> str:
        return cgroups.path_for(self.paths.cgroup, row.key.project, row.id)

    def write(self, state: State, row: ContainerRow, image: Image, root: Path) -> None:
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
        targets = [mount.target.rstrip("/") for mount in all_mounts(spec, image)]
        program.check(root, what, targets, str(row.key))
        caps = capabilities.resolve(spec.cap_add, spec.cap_drop, host.capabilities)
        rules = self._seccomp(caps)
        etc = tuple(
            config.Bind(source=str(bundle / name), target=f"/etc/{name}", kind="file")
            for name in ("hosts", "hostname", "resolv.conf")
        )
        mounts = tuple(self._mount(row.key, each) for each in all_mounts(spec, image))
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
                limits=limits_of(spec),
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
                    source=str(self.volumes.data(key.project, volume_name(key, mount))),
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


def volume_name(key: ContainerKey, mount: VolumeMount | AnonymousMount) -> str:
    if isinstance(mount, VolumeMount):
        return mount.volume
    return anonymous_name(key, mount.target)


def limits_of(spec: ContainerSpec) -> Limits:
    """-1 processes is no limit, and the kernel is told none."""
    pids = None if spec.pids_limit < 0 else spec.pids_limit
    return Limits(mem_limit=spec.mem_limit, cpus=spec.cpus, pids_limit=pids)
