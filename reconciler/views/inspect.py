"""What ``inspect`` tells of a container: Docker's document, and what Docker has no word for.

Values of variables that the spec calls secret are never in it.
https://docs.docker.com/reference/api/engine/version/v1.47/#tag/Container/operation/ContainerInspect
"""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from reconciler.plan import HIDDEN
from reconciler.views.containers import STATES, image
from runtime.api import (
    AnonymousMount,
    BindMount,
    ContainerSpec,
    Health,
    Healthcheck,
    Logging,
    Mount,
    ObservedContainer,
    ObservedService,
    Phase,
    PublishedPort,
    TmpfsMount,
    VolumeMount,
)

Document = dict[str, object]
NEVER = "0001-01-01T00:00:00Z"  # Docker's word for a time that has not come
_NANO = 10**9


def document(container: ObservedContainer, service: ObservedService | None) -> Document:
    """One container; ``service`` is what leads to it."""
    spec = container.applied or ContainerSpec(image=container.image_id)
    serves = service is not None and container.id in service.targets
    published = service.ports if service is not None and serves else ()
    path, *arguments = container.command or ("",)
    return {
        "Id": container.id,
        "Created": moment(container.created_at),
        "Path": path,
        "Args": arguments,
        "State": _state(container),
        "Image": container.image_id,
        "Name": f"/{container.key}",
        "RestartCount": container.restarts,
        "HostConfig": _host_config(spec, published),
        "Mounts": [_mount(each) for each in spec.mounts],
        "Config": _config(container, spec),
        "NetworkSettings": {
            "Ports": dict(_ports(published)),
            "Networks": _networks(container, spec),
        },
        "Trueup": _ours(container, service, serves=serves),
    }


def moment(seconds: float | None) -> str:
    """RFC 3339 in UTC; None has not come."""
    if not seconds:
        return NEVER
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _state(container: ObservedContainer) -> Document:
    running = container.phase in (Phase.RUNNING, Phase.RESTARTING)
    state: Document = {
        "Status": STATES[container.phase],
        "Running": running,
        "Paused": False,
        "Restarting": container.phase is Phase.RESTARTING,
        "OOMKilled": container.oom_killed,
        "Dead": container.phase is Phase.LOST,
        "Pid": container.pid or 0,
        "ExitCode": container.exit_code or 0,
        "StartedAt": moment(container.started_at),
        "FinishedAt": moment(container.finished_at),
    }
    if container.health is not None:
        state["Health"] = _health(container.health)
    return state


def _health(health: Health) -> Document:
    last = {
        "End": moment(health.checked_at),
        "ExitCode": health.exit_code,
        "Output": health.output,
    }
    return {
        "Status": str(health.status),
        "FailingStreak": health.failing_streak,
        "Log": [last] if health.checked_at else [],
    }


def _config(container: ObservedContainer, spec: ContainerSpec) -> Document:
    secret = frozenset(spec.secret_environment)
    config: Document = {
        "Hostname": spec.hostname or container.id[:12],
        "Domainname": spec.domainname or "",
        "User": spec.user or "",
        "ExposedPorts": {each if "/" in each else f"{each}/tcp": {} for each in spec.expose},
        "Tty": spec.tty,
        "OpenStdin": spec.stdin_open,
        "Env": [
            f"{name}={HIDDEN if name in secret else value}"
            for name, value in sorted(spec.environment.items())
        ],
        "Cmd": None if spec.command is None else list(spec.command),
        "Image": image(spec.image),
        "WorkingDir": spec.working_dir or "",
        "Entrypoint": None if spec.entrypoint is None else list(spec.entrypoint),
        "Labels": dict(spec.labels),
        "StopSignal": spec.stop_signal or "",
        "StopTimeout": math.ceil(spec.stop_grace_period),
    }
    if container.healthcheck is not None:
        config["Healthcheck"] = healthcheck(container.healthcheck)
    return config


def healthcheck(check: Healthcheck) -> Document:
    """Times in nanoseconds, as Docker has them."""
    return {
        "Test": list(check.test),
        "Interval": int(check.interval * _NANO),
        "Timeout": int(check.timeout * _NANO),
        "StartPeriod": int(check.start_period * _NANO),
        "StartInterval": int(check.start_interval * _NANO),
        "Retries": check.retries,
    }


def _log_options(logging: Logging) -> dict[str, str]:
    """As text, as Docker has them."""
    size = {} if logging.max_size is None else {"max-size": str(logging.max_size)}
    return {**size, "max-file": str(logging.max_file)}


def _host_config(spec: ContainerSpec, published: Sequence[PublishedPort]) -> Document:
    return {
        "Binds": [_short(each) for each in spec.mounts if not isinstance(each, TmpfsMount)],
        "NetworkMode": spec.network_mode or (spec.networks[0].network if spec.networks else "none"),
        "PortBindings": dict(_ports(published)),
        "LogConfig": {"Type": spec.logging.driver, "Config": _log_options(spec.logging)},
        "RestartPolicy": {
            "Name": str(spec.restart.kind),
            "MaximumRetryCount": spec.restart.max_retries or 0,
        },
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "Dns": list(spec.dns),
        "DnsOptions": list(spec.dns_opt),
        "DnsSearch": list(spec.dns_search),
        "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts],
        "GroupAdd": list(spec.group_add),
        "IpcMode": spec.ipc or "private",
        "OomScoreAdj": spec.oom_score_adj or 0,
        "PidMode": spec.pid,
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "Sysctls": dict(spec.sysctls),
        "UTSMode": spec.uts,
        "ShmSize": 64 << 20 if spec.shm_size is None else spec.shm_size,
        "Runtime": spec.runtime or "",
        "Memory": spec.mem_limit or 0,
        "MemorySwap": spec.memswap_limit or 0,
        "MemoryReservation": spec.mem_reservation or 0,
        "NanoCpus": int((spec.cpus or 0) * _NANO),
        "CpuShares": spec.cpu_shares or 0,
        "CpusetCpus": spec.cpuset or "",
        "PidsLimit": spec.pids_limit,
        "Init": spec.init,
        "Devices": [
            {
                "PathOnHost": each.source,
                "PathInContainer": each.target,
                "CgroupPermissions": each.permissions,
            }
            for each in spec.devices
        ],
        "Ulimits": [
            {"Name": each.name, "Soft": each.soft, "Hard": each.hard} for each in spec.ulimits
        ],
    }


def _short(mount: VolumeMount | BindMount | AnonymousMount) -> str:
    match mount:
        case VolumeMount():
            return f"{mount.volume}:{mount.target}{':ro' if mount.read_only else ''}"
        case BindMount():
            return f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}"
        case AnonymousMount():
            return mount.target


def _mount(mount: Mount) -> Document:
    told: Document = {"Destination": mount.target, "RW": True}
    match mount:
        case VolumeMount():
            return told | {"Type": "volume", "Name": mount.volume, "RW": not mount.read_only}
        case BindMount():
            return told | {"Type": "bind", "Source": mount.source, "RW": not mount.read_only}
        case AnonymousMount():
            return told | {"Type": "volume"}
        case TmpfsMount():
            return told | {"Type": "tmpfs"}


def _ports(published: Sequence[PublishedPort]) -> Iterator[tuple[str, object]]:
    """``80/tcp`` with all that leads there; of a range each port."""
    bindings: dict[str, list[Document]] = {}
    for each in published:
        spec = each.spec
        for number in range(spec.count):
            inside = f"{spec.container_port + number}/{spec.protocol}"
            outside: Document = {
                "HostIp": spec.host_ip or "0.0.0.0",
                "HostPort": str(each.host_port + number),
            }
            bindings.setdefault(inside, []).append(outside)
    yield from bindings.items()


def _networks(container: ObservedContainer, spec: ContainerSpec) -> Document:
    return {
        each.network: {
            "Aliases": [container.key.name, *each.aliases],
            "IPAddress": container.addresses.get(each.network, ""),
            "GlobalIPv6Address": container.addresses6.get(each.network, ""),
            "Interface": container.interfaces.get(each.network, ""),
        }
        for each in spec.networks
    }


def _ours(
    container: ObservedContainer, service: ObservedService | None, *, serves: bool
) -> Document:
    return {
        "Project": container.key.project,
        "Name": container.key.name,
        "Replica": container.key.replica,
        "Generation": container.generation,
        "Serving": serves,
        "ServiceAddresses": dict(service.addresses) if service is not None else {},
        "Held": container.held,
        "Defects": [each.cause for each in container.defects],
    }
