"""Values as people write them: ``512M``, ``8080:80``, ``CMD pg_isready every 5s``.

None of them is the value of a variable of the environment, since any of them may be a secret.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

from runtime.api import (
    AnonymousMount,
    Attachment,
    BindMount,
    Condition,
    Dependency,
    Device,
    Healthcheck,
    Limits,
    Logging,
    Mount,
    OnFailure,
    PortSpec,
    SecurityOptions,
    TmpfsMount,
    Ulimit,
    UpdatePolicy,
    VolumeMount,
    span,
)
from specs.scalars import render_bytes, render_command, render_duration, render_mode

LONGEST = 60
UNSET = "unset"  # how a value that is not there reads
SIZES = ("mem_limit", "memswap_limit", "mem_reservation", "shm_size")
_DEFAULTED = ("mem_reservation", "cpu_shares", "cpuset")  # without one the kernel's default holds
_OWN = ("network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup")
_CONDITIONS = {Condition.HEALTHY: "healthy", Condition.COMPLETED: "completed"}
_HEALTH = Healthcheck()
_UPDATE = UpdatePolicy()


def shown(name: str, value: object) -> str:
    """The value of a field of a container: ``512M``, ``10s``, ``nginx -g 'daemon off;'``."""
    match value:
        case None:
            limits = name in Limits.__struct_fields__ and name not in _DEFAULTED
            return "unlimited" if limits else UNSET
        case bool():
            return "yes" if value else "no"
        case int():
            return _number(name, value)
        case float() if name == "stop_grace_period":
            return render_duration(value)
        case float():
            return f"{value:g}"
        case tuple() if name in ("command", "entrypoint"):
            return cut(render_command(value)) or "empty"
        case tuple():
            return listed(value)
        case Healthcheck():
            return _check(value)
        case Logging():
            return ", ".join(_logging(value))
        case UpdatePolicy():
            return ", ".join(_update(value)) or "the default"
        case SecurityOptions():
            return cut(", ".join(_security(value))) or UNSET
        case "" if name in _OWN:
            return "its own"
        case _:
            return cut(str(value)) or "empty"


def _number(name: str, value: int) -> str:
    if value < 0 and name in ("pids_limit", "memswap_limit"):
        return "unlimited"
    return _size(value) if name in SIZES else str(value)


def _size(size: int) -> str:
    return render_bytes(size).upper()


def cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


# --- values with parts ----------------------------------------------------------------------------


def _check(check: Healthcheck) -> str:
    """``CMD pg_isready every 5s, 10 retries``"""
    if check.disabled:
        return "disabled"
    kind, *words = check.test or ("the image's",)
    program = " ".join(words) if kind == "CMD-SHELL" else render_command(tuple(words))
    test = cut(f"{kind} {program}".strip())
    return ", ".join((f"{test} every {render_duration(check.interval)}", *_times(check)))


def _times(check: Healthcheck) -> Iterator[str]:
    if check.retries != _HEALTH.retries:
        yield f"{check.retries} retries"
    for what in ("timeout", "start_period", "start_interval"):
        if (seconds := getattr(check, what)) != getattr(_HEALTH, what):
            yield f"{what} {render_duration(seconds)}"


def _logging(logging: Logging) -> Iterator[str]:
    yield logging.driver
    if logging.max_size is not None:
        yield f"max-size {_size(logging.max_size)}"
    if logging.max_file != 1:
        yield f"max-file {logging.max_file}"


def _update(policy: UpdatePolicy) -> Iterator[str]:
    if policy.order is not None:
        yield str(policy.order)
    if policy.parallelism != _UPDATE.parallelism:
        yield f"parallelism {policy.parallelism}"
    if policy.healthy_within != _UPDATE.healthy_within:
        yield f"healthy within {render_duration(policy.healthy_within)}"
    if policy.on_failure is not OnFailure.ROLLBACK:
        yield f"{policy.on_failure} on failure"


def _security(options: SecurityOptions) -> Iterator[str]:
    if options.no_new_privileges is not None:
        yield "no-new-privileges" + ("" if options.no_new_privileges else ":false")
    if options.seccomp is not None:
        yield f"seccomp:{options.seccomp}"
    if options.apparmor is not None:
        yield f"apparmor:{options.apparmor}"
    yield from (f"label:{each}" for each in options.label)
    if options.unmask:
        yield "systempaths=unconfined"


# --- lists ------------------------------------------------------------------------------------


def listed(values: Iterable[object]) -> str:
    return cut(", ".join(map(_word, values))) or UNSET


def _word(value: object) -> str:
    match value:
        case Dependency():
            return _dependency(value)
        case Attachment():
            return _attachment(value)
        case PortSpec():
            return _port(value)
        case Ulimit():
            both = _limit(value.soft), _limit(value.hard)
            return f"{value.name} {both[0] if both[0] == both[1] else ':'.join(both)}"
        case Device():
            permissions = "" if value.permissions == "rwm" else f":{value.permissions}"
            return f"{value.source}:{value.target}{permissions}"
        case (str() as host, str() as address):
            return f"{host}={address}"
        case _:
            return str(value)


def _limit(value: int) -> str:
    return "unlimited" if value < 0 else str(value)


def _dependency(value: Dependency) -> str:
    """``db``, ``db (healthy, optional)``"""
    words = [
        *([_CONDITIONS[value.condition]] if value.condition in _CONDITIONS else []),
        *([] if value.required else ["optional"]),
        *(["restart"] if value.restart else []),
    ]
    return f"{value.name} ({', '.join(words)})" if words else value.name


def _attachment(value: Attachment) -> str:
    """``back``, ``back 10.90.0.5 as api``"""
    words = [value.network, value.ipv4_address or "", value.ipv6_address or ""]
    words += ["as", " ".join(value.aliases)] if value.aliases else []
    words += [f"gw_priority {value.gw_priority}"] if value.gw_priority else []
    return " ".join(filter(None, words))


def _port(value: PortSpec) -> str:
    """As people write it: ``8080:80``, ``80``, ``53:53/udp``, ``9000-9010:9000-9010``."""
    published = f"{value.published}:" if value.published or value.host else ""
    suffix = "" if value.protocol == "tcp" else f"/{value.protocol}"
    return f"{value.host}{published}{span(value.container_port, value.count)}{suffix}"


# --- mounts -----------------------------------------------------------------------------------


def mount_text(mount: Mount) -> str:
    """What is mounted: ``volume data read-only``, ``/srv/www``, ``tmpfs 64M``."""
    match mount:
        case VolumeMount():
            copy = () if mount.copy else ("nocopy",)
            inner = f"/{mount.subpath}" if mount.subpath else ""
            return _with(f"volume {mount.volume}{inner}", _access(mount), *copy, mount.relabel)
        case BindMount():
            return _with(mount.source, _access(mount), mount.propagation, mount.relabel)
        case TmpfsMount():
            size = _size(mount.size) if mount.size else ""
            mode = "" if mount.mode is None else f"mode {render_mode(mount.mode)}"
            return _with("tmpfs", size, mode, *mount.options)
        case AnonymousMount():
            return "a volume of its own"
        case _:
            assert_never(mount)


def _with(what: str, *words: str) -> str:
    return " ".join(filter(None, (what, *words)))


def _access(mount: VolumeMount | BindMount) -> str:
    return "read-only" if mount.read_only else ""
