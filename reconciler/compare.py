"""Three ways compared: what shall be, what was last made true, what really is.

Desired against applied says "the file changed", observed against applied says "somebody changed
the host". Values are compared field by field; the words for people come from here, too, and
never hold the value of a variable of the environment, since any of them may be a secret.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from runtime.api import (
    AnonymousMount,
    Attachment,
    BindMount,
    ContainerSpec,
    Dependency,
    Limits,
    Mount,
    ObservedContainer,
    PortSpec,
    RestartPolicy,
    ServiceSpec,
    TmpfsMount,
    VolumeMount,
)
from runtime.api.service import span
from specs.scalars import render_bytes, render_command, render_duration

PAGE = 4096  # the kernel cuts memory limits down to whole pages
CPU_TOLERANCE = 0.002  # a cgroup counts a CPU in thousandths or finer
LONGEST = 60
_UNSET = "unset"  # how a value that is not there reads

LABELS = {"mem_limit": "memory", "pids_limit": "pids", "mounts": "volumes"}


class Cause(StrEnum):
    SPEC_CHANGED = "spec changed"
    DRIFTED = "drifted"
    MOVED = "moved"  # the same name means something else now
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that is not as it shall be. ``before`` and ``after`` are texts for people;
    ``place`` is file:line of the field, "" where the spec does not have it."""

    field: str
    cause: Cause
    before: str = ""
    after: str = ""
    place: str = ""
    replaces: bool = False

    @property
    def text(self) -> str:
        """``memory 512M → 1G (shop.yaml:31)``, ``memory is 768M, set by hand``."""
        if self.cause is Cause.DRIFTED:
            why = f"not {self.after}" if self.after else "set by hand"
            return f"{self.field} is {self.before}, {why}"
        if self.cause is Cause.UNKNOWN:
            return f"{self.field}: cause unknown, {self.before}"
        if self.cause is Cause.BROKEN:
            return self.before
        where = f" ({self.place})" if self.place else ""
        if self.cause is Cause.MOVED:
            return f"{self.field}: {self.after}{where}"
        return f"{self.field} {self._movement()}{where}"

    def _movement(self) -> str:
        if self.before and self.after:
            return f"{self.before} → {self.after}"
        return self.after or self.before


Places = Callable[[str], str]


def container(
    desired: ContainerSpec, observed: ObservedContainer, *, in_place: Collection[str], place: Places
) -> tuple[Difference, ...]:
    """Everything about a generation that is not as desired, but its image and its life.

    ``in_place`` names the fields of ContainerSpec that change without a new process;
    ``place`` gives the place of a field of the spec, ``environment.DEBUG`` included.
    """
    if observed.applied is None:
        what = "what it was made from is not recorded any more"
        return (Difference(field="spec", cause=Cause.UNKNOWN, before=what, replaces=True),)
    changed = [
        Difference(
            field=what,
            cause=Cause.SPEC_CHANGED,
            before=before,
            after=after,
            place=place(where),
            replaces=name not in in_place,
        )
        for name in ContainerSpec.__struct_fields__
        if name != "image" and getattr(desired, name) != getattr(observed.applied, name)
        for what, before, after, where in _changes(name, observed.applied, desired)
    ]
    return (
        *changed,
        *_drift(desired, observed.applied, observed.limits),
        *_policy(desired, observed.applied, observed.restart),
    )


def service(desired: ServiceSpec, applied: ServiceSpec, *, place: Places) -> tuple[Difference, ...]:
    """What changed of a service; all of it changes in place."""
    return tuple(
        Difference(
            field=name,
            cause=Cause.SPEC_CHANGED,
            before=_listed(getattr(applied, name)),
            after=_listed(getattr(desired, name)),
            place=place(name),
        )
        for name in ("networks", "aliases", "ports")
        if getattr(desired, name) != getattr(applied, name)
    )


# --- changed fields ---------------------------------------------------------------------------

_Change = tuple[str, str, str, str]  # what, before, after, field of the spec


def _changes(name: str, applied: ContainerSpec, desired: ContainerSpec) -> Iterator[_Change]:
    before, after = getattr(applied, name), getattr(desired, name)
    if name == "environment":
        yield from _by_key("environment", before, after, _hidden)
    elif name == "labels":
        yield from _by_key("label", before, after, _shown)
    elif name == "mounts":
        yield from _mounts(before, after)
    elif name == "secret_environment":
        yield name.replace("_", " "), "", "changed", "environment"
    else:
        yield LABELS.get(name, name), shown(name, before), shown(name, after), name


def _by_key(
    what: str,
    before: Mapping[str, str],
    after: Mapping[str, str],
    words: Callable[[str | None, str | None], tuple[str, str]],
) -> Iterator[_Change]:
    field = {"label": "labels"}.get(what, what)
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old != new:
            yield f"{what} {key}", *words(old, new), f"{field}.{key}"


def _hidden(old: str | None, new: str | None) -> tuple[str, str]:
    return "", "added" if old is None else "removed" if new is None else "changed"


def _shown(old: str | None, new: str | None) -> tuple[str, str]:
    return _UNSET if old is None else _cut(old), _UNSET if new is None else _cut(new)


def _mounts(before: tuple[Mount, ...], after: tuple[Mount, ...]) -> Iterator[_Change]:
    olds, news = ({mount.target: mount for mount in each} for each in (before, after))
    for target in sorted({*olds, *news}):
        old, new = olds.get(target), news.get(target)
        if old != new:
            field = "tmpfs" if isinstance(new or old, TmpfsMount) else "volumes"
            was, now = (_mount(each) if each else _UNSET for each in (old, new))
            yield f"mount {target}", was, now, field


def _mount(mount: Mount) -> str:
    match mount:
        case VolumeMount():
            return f"volume {mount.volume}{_access(mount)}"
        case BindMount():
            return f"{mount.source}{_access(mount)}"
        case TmpfsMount():
            return f"tmpfs {_size(mount.size)}" if mount.size else "tmpfs"
        case AnonymousMount():
            return "a volume of its own"
        case _:
            assert_never(mount)


def _access(mount: VolumeMount | BindMount) -> str:
    return " read-only" if mount.read_only else ""


# --- live facts -------------------------------------------------------------------------------


def _drift(
    desired: ContainerSpec, applied: ContainerSpec, live: Limits | None
) -> Iterator[Difference]:
    """Limits that somebody changed behind our back, unless to what is wanted now."""
    if live is None:
        return
    for name in Limits.__struct_fields__:
        real = getattr(live, name)
        if _same_limit(name, getattr(applied, name), real):
            continue
        if _same_limit(name, getattr(desired, name), real):
            continue
        text = shown(name, real)
        yield Difference(field=LABELS.get(name, name), cause=Cause.DRIFTED, before=text)


def _policy(
    desired: ContainerSpec, applied: ContainerSpec, live: RestartPolicy | None
) -> Iterator[Difference]:
    """The restart policy at work, when an update was killed before it came to that."""
    if live is not None and live not in (applied.restart, desired.restart):
        after = str(applied.restart)
        yield Difference(field="restart", cause=Cause.DRIFTED, before=str(live), after=after)


def _same_limit(name: str, wanted: float | None, real: float | None) -> bool:
    if wanted is None or (name == "pids_limit" and wanted < 0):
        return real is None
    if real is None:
        return False
    if name == "cpus":
        return abs(wanted - real) <= CPU_TOLERANCE
    if name == "mem_limit":
        return real in (wanted, wanted // PAGE * PAGE)
    return wanted == real


# --- values as people write them --------------------------------------------------------------


def shown(name: str, value: object) -> str:
    """The value of a field of a container: ``512M``, ``10s``, ``nginx -g 'daemon off;'``."""
    match value:
        case None:
            return "unlimited" if name in Limits.__struct_fields__ else _UNSET
        case bool():
            return "yes" if value else "no"
        case int() if name == "mem_limit":
            return _size(value)
        case int() if name == "pids_limit":
            return "unlimited" if value < 0 else str(value)
        case float() if name == "stop_grace_period":
            return render_duration(value)
        case float():
            return f"{value:g}"
        case tuple() if name in ("command", "entrypoint"):
            return _cut(render_command(value)) or "empty"
        case tuple():
            return _listed(value)
        case _:
            return _cut(str(value)) or "empty"


def _size(size: int) -> str:
    return render_bytes(size).upper()


def _listed(values: tuple[str | PortSpec | Dependency | Attachment, ...]) -> str:
    words = map(_word, values)
    return _cut(", ".join(words)) or _UNSET


def _word(value: str | PortSpec | Dependency | Attachment) -> str:
    match value:
        case Dependency():
            return value.name
        case Attachment():
            return value.network
        case PortSpec():
            return _port(value)
        case _:
            return value


def _port(value: PortSpec) -> str:
    """As people write it: ``8080:80``, ``80``, ``53:53/udp``."""
    address = value.host_ip or ""
    host = f"[{address}]:" if ":" in address else f"{address}:" if address else ""
    published = f"{value.published}:" if value.published or host else ""
    suffix = "" if value.protocol == "tcp" else f"/{value.protocol}"
    return f"{host}{published}{span(value.container_port, value.count)}{suffix}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
