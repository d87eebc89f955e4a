"""Three ways compared: what shall be, what was last made true, what really is.

Desired against applied says "the file changed", observed against applied says "somebody changed
the host". Values are compared field by field; the words for people come from here, too, and
never hold the value of a variable of the environment, since any of them may be a secret.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler.wording import SIZES, UNSET, cut, listed, mount_text, shown
from runtime.api import (
    ContainerSpec,
    Limits,
    Mount,
    ObservedContainer,
    RestartPolicy,
    ServiceSpec,
    TmpfsMount,
)

PAGE = 4096  # the kernel cuts memory limits down to whole pages
CPU_TOLERANCE = 0.002  # a cgroup counts a CPU in thousandths or finer

LABELS = {"mem_limit": "memory", "pids_limit": "pids", "mounts": "volumes"}
_BY_KEY = {"labels": "label", "annotations": "annotation", "sysctls": "sysctl"}
_WRITTEN = {"security": "security_opt"}  # fields that go by another name in the spec


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
    desired: ContainerSpec,
    observed: ObservedContainer,
    *,
    in_place: Collection[str],
    place: Places,
    veiled: Collection[str] = (),
) -> tuple[Difference, ...]:
    """Everything about a generation that is not as desired, but its image and its life.

    ``in_place`` names the fields of ContainerSpec that change without a new process;
    ``place`` gives the place of a field of the spec, ``environment.DEBUG`` included; of
    ``veiled`` ones no value is told.
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
        for what, before, after, where in _changes(
            name, observed.applied, desired, veiled=name in veiled
        )
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
            before=listed(getattr(applied, name)),
            after=listed(getattr(desired, name)),
            place=place(name),
        )
        for name in ("networks", "aliases", "ports")
        if getattr(desired, name) != getattr(applied, name)
    )


# --- changed fields ---------------------------------------------------------------------------

_Change = tuple[str, str, str, str]  # what, before, after, field of the spec


def _changes(
    name: str, applied: ContainerSpec, desired: ContainerSpec, *, veiled: bool
) -> Iterator[_Change]:
    before, after = getattr(applied, name), getattr(desired, name)
    if name == "environment":
        yield from _by_key("environment", name, before, after, _hidden)
    elif name in _BY_KEY:
        yield from _by_key(_BY_KEY[name], name, before, after, _hidden if veiled else _shown)
    elif name == "mounts":
        yield from _mounts(before, after)
    elif name == "secret_environment":
        yield name.replace("_", " "), "", "changed", "environment"
    else:
        where = _WRITTEN.get(name, name)
        texts = _told_apart(shown(name, before), shown(name, after))
        yield LABELS.get(name, where), *(("", "changed") if veiled else texts), where


def _told_apart(before: str, after: str) -> tuple[str, str]:
    """Two values that read alike, since they are long, have changed all the same."""
    return ("", "changed") if before == after else (before, after)


def _by_key(
    what: str,
    field: str,
    before: Mapping[str, str],
    after: Mapping[str, str],
    words: Callable[[str | None, str | None], tuple[str, str]],
) -> Iterator[_Change]:
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old != new:
            yield f"{what} {key}", *words(old, new), f"{field}.{key}"


def _hidden(old: str | None, new: str | None) -> tuple[str, str]:
    return "", "added" if old is None else "removed" if new is None else "changed"


def _shown(old: str | None, new: str | None) -> tuple[str, str]:
    was, now = (UNSET if each is None else cut(each) or "empty" for each in (old, new))
    return _told_apart(was, now)


def _mounts(before: tuple[Mount, ...], after: tuple[Mount, ...]) -> Iterator[_Change]:
    olds, news = ({mount.target: mount for mount in each} for each in (before, after))
    for target in sorted({*olds, *news}):
        old, new = olds.get(target), news.get(target)
        if old != new:
            field = "tmpfs" if isinstance(new or old, TmpfsMount) else "volumes"
            was, now = (mount_text(each) if each else UNSET for each in (old, new))
            yield f"mount {target}", *_told_apart(was, now), field


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


def _same_limit(name: str, wanted: float | str | None, real: float | str | None) -> bool:
    """The runtime gives a limit as it was asked wherever the kernel keeps it so; what is asked now
    may be the same in other words."""
    if _is_unlimited(wanted) or _is_unlimited(real):
        return _is_unlimited(wanted) and _is_unlimited(real)
    if isinstance(wanted, str | None) or isinstance(real, str | None):
        return wanted == real
    if name == "cpus":
        return abs(wanted - real) <= CPU_TOLERANCE
    if name in SIZES:
        return real in (wanted, wanted // PAGE * PAGE)
    return wanted == real


def _is_unlimited(value: float | str | None) -> bool:
    return value is None or (not isinstance(value, str) and value < 0)
