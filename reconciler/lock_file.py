"""The lock file against its spec: what is pinned, what should be, and what nobody needs now."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.short_names import Search, called, candidates, own_name, pinned
from reconciler.spec import SpecBroken
from reconciler.values.images import references, wishes
from runtime.errors import Fault
from runtime.reference import Reference, parse

if TYPE_CHECKING:
    from specs.lock import Lock, Pin
    from specs.model.image import Image, Track
    from specs.model.project import Project
    from specs.tags import Choice

_TOLD = 5


def read_beside(spec: Path) -> "Lock | None":
    """The lock file of a spec, or of the one in a folder; None for none. Raises ``SpecBroken``."""
    from specs.lock import lock_path, read_lock
    from specs.problems import SpecErrors, render

    path = lock_path(os.fspath(spec))
    if not os.path.lexists(path):
        return None
    try:
        return read_lock(path)
    except SpecErrors as errors:
        raise SpecBroken(render(errors.problems), len(errors.problems)) from errors


def entry(name: str) -> str:
    """What a lock file calls an image, by the name that containers call it; "" for one that needs
    no entry: it has a digest, or comes from a file."""
    own = own_name(name)
    if own:
        return own if ":" in own and "@" not in own else ""
    reference = parse(name)
    return "" if reference.digest else reference.familiar


# --- what a lock file should have ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A reference of a spec that a lock file pins. ``name`` is what containers call the image,
    ``names`` those under ``images:``. ``candidates`` are what the reference may mean, the first
    one that exists is meant; ``platform`` None: the host's. ``choice`` says which newer tags may
    be taken, None: none, ``min_age`` in seconds how old such a tag must be."""

    entry: str
    name: str
    candidates: tuple[Reference, ...]
    names: tuple[str, ...] = ()
    platform: str | None = None
    choice: "Choice | None" = None
    min_age: float = 0.0


def wanted(project: "Project", names: Mapping[str, str], search: Search) -> tuple[Wanted, ...]:
    """All of them, by entry; ``names`` are what containers call images. Raises ``BadReference``,
    and ``SpecBroken`` where one reference is tracked in two ways."""
    platforms = {name: each for name, _, each in wishes(project, names) if each is not None}
    declared: dict[str, dict[str, Image]] = {}
    for own, image in project.images.items():
        declared.setdefault(names[str(own)], {})[str(own)] = image
    short = {entry(name) for name in names.values() if own_name(name)}
    found: dict[str, Wanted] = {}
    for _, text in references(project):
        name = called(text, search, project.name)
        key = entry(name)
        if key and key in short and not own_name(name):
            key = name  # the other one is that of the first registry that has it
        if key and key not in found:
            mine = declared.get(name, {})
            track = _track(project, key, mine)
            found[key] = Wanted(
                entry=key,
                name=name,
                candidates=candidates(text, search),
                names=tuple(mine),
                platform=platforms.get(name),
                choice=track.choice if track else None,
                min_age=track.min_age if track else 0.0,
            )
    return tuple(found[key] for key in sorted(found))


def _track(project: "Project", entry: str, images: "Mapping[str, Image]") -> "Track | None":
    """What the images of one reference say together; ``images`` are they, by name."""
    tracked = [(key, each.track) for key, each in images.items() if each.track is not None]
    if not tracked:
        return None
    first, track = tracked[0]
    if other := next((key for key, its in tracked if its != track), ""):
        from specs.problems import Problem, render

        there = project.span("images", first, "track")
        problem = Problem(
            text=f"{entry} is tracked in two ways",
            span=project.span("images", other, "track"),
            hint=f"the other one is at {there.brief}" if there else "",
        )
        raise SpecBroken(render([problem]), 1)
    return track


# --- what it has --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Locking:
    """How a spec and its lock file go together. ``file`` is the lock file's path, "" for none;
    ``wanted`` is what it should have, ``pins`` what it has."""

    file: str = ""
    wanted: tuple[Wanted, ...] = ()
    pins: Mapping[str, "Pin"] = field(default_factory=dict)

    @property
    def pinned(self) -> "dict[str, Pin]":
        """What is pinned, by the name that containers would call it without a lock file."""
        return {each.name: self.pins[each.entry] for each in self.wanted if each.entry in self.pins}

    def called(self, name: str) -> str:
        """What containers call the image that they would call ``name`` without a lock file."""
        return pinned(name, self.pinned.get(name))

    @property
    def missing(self) -> tuple[str, ...]:
        """References without an entry."""
        return tuple(each.entry for each in self.wanted if each.entry not in self.pins)

    @property
    def unused(self) -> tuple[str, ...]:
        """Entries that the spec has no use for."""
        return tuple(sorted(self.pins.keys() - {each.entry for each in self.wanted}))

    @property
    def news(self) -> str:
        """How the file is behind its spec, in words; "" when it is not."""
        missing = [f"lacks {_list(self.missing)}"] if self.missing else []
        return " and ".join(missing + ([f"still has {_list(self.unused)}"] if self.unused else []))

    @property
    def warning(self) -> str:
        """That the file is behind its spec, in a line; "" when it is not, or when there is none."""
        if not self.file or not self.news:
            return ""
        return f"{self.file} {self.news}; `trueup lock` brings it up to date"


def compared(wanted: tuple[Wanted, ...], lock: "Lock | None") -> Locking:
    """The lock file, if there is one, beside what it should have. An entry with a tag that the
    spec does not let it take (any more) is none."""
    if lock is None:
        return Locking(wanted=wanted)
    outlawed = {
        each.entry
        for each in wanted
        if each.entry in lock.pins and not _is_allowed(each, lock.pins[each.entry].tag)
    }
    pins = {entry: pin for entry, pin in lock.pins.items() if entry not in outlawed}
    return Locking(file=lock.path, wanted=wanted, pins=pins)


def _is_allowed(wanted: Wanted, tag: str) -> bool:
    if not tag:
        return True
    written = wanted.candidates[0].tag
    return wanted.choice is not None and bool(wanted.choice.newest_first([tag], written))


def _list(names: tuple[str, ...]) -> str:
    more = len(names) - _TOLD
    return ", ".join(names[:_TOLD]) + (f" and {more} more" if more > 0 else "")


class NotLocked(Fault):
    """Somebody wants only what is locked, and something is not."""

    exit_code = 64

    def __init__(self, project: str, locking: Locking) -> None:
        self.missing = locking.missing
        lacks = f"{locking.file} has no entry for" if locking.file else "no lock file has"
        super().__init__(
            f"{project}: --frozen takes only images that are locked",
            why=f"{lacks} {_list(locking.missing)}",
            hint="run `trueup lock`, and keep the file with the spec",
        )


def check_frozen(project: str, locking: Locking) -> None:
    """Raises ``NotLocked``."""
    if locking.missing:
        raise NotLocked(project, locking)
