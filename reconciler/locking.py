"""The lock file against its spec: what is pinned, what should be, and what nobody needs now."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.short_names import Search, candidates, own_name
from reconciler.spec import SpecBroken
from reconciler.values.images import image_names, references, wishes
from runtime.errors import Fault
from runtime.reference import Reference, parse

if TYPE_CHECKING:
    from specs.lock import Lock
    from specs.model.image import Track
    from specs.model.project import Project

_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Locking:
    """How a spec and its lock file go together. ``file`` is the lock file's path, "" for none;
    ``missing`` are references that it lacks, ``unused`` those that only it has."""

    file: str = ""
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def warning(self) -> str:
        """That the file is behind its spec, in a line; "" when it is not, or when there is none."""
        said = [
            *([f"lacks {_list(self.missing)}"] if self.missing else []),
            *([f"still has {_list(self.unused)}"] if self.unused else []),
        ]
        if not self.file or not said:
            return ""
        return f"{self.file} {' and '.join(said)}; `trueup lock` brings it up to date"


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


def locked(names: Mapping[str, str], lock: "Lock | None") -> tuple[dict[str, str], Locking]:
    """The digests that the lock file has for the images that containers call by the values of
    ``names``, and how spec and file go together."""
    wanted = {name: called for name in set(names.values()) if (called := entry(name))}
    if lock is None:
        return {}, Locking(missing=tuple(sorted(set(wanted.values()))))
    digests = {name: lock.pins[key].digest for name, key in wanted.items() if key in lock.pins}
    return digests, Locking(
        file=lock.path,
        missing=tuple(sorted(set(wanted.values()) - lock.pins.keys())),
        unused=tuple(sorted(lock.pins.keys() - set(wanted.values()))),
    )


# --- what a lock file should have ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A reference of a spec that a lock file pins. ``candidates`` are what it may mean, the first
    one that exists is meant; ``names`` are those under ``images:``. ``platform`` None: the
    host's."""

    entry: str
    candidates: tuple[Reference, ...]
    names: tuple[str, ...] = ()
    platform: str | None = None
    track: "Track | None" = None


def wanted(project: "Project", search: Search) -> tuple[Wanted, ...]:
    """All of them, by entry. Raises ``BadReference``, and ``SpecBroken`` as ``image_names`` does
    and where one reference is tracked in two ways."""
    names = image_names(project, search)
    platforms = {name: each for name, _, each in wishes(project, names) if each is not None}
    found: dict[str, Wanted] = {}
    for _, text in references(project):
        name = names[text]
        if key := entry(name):
            found[key] = Wanted(
                entry=key,
                candidates=candidates(text, search),
                names=tuple(each for each in map(str, project.images) if names[each] == name),
                platform=platforms.get(name),
                track=_track(project, names, name),
            )
    return tuple(found[key] for key in sorted(found))


def _track(project: "Project", names: Mapping[str, str], name: str) -> "Track | None":
    tracked = [*_tracked(project, names, name)]
    if not tracked:
        return None
    first, track = tracked[0]
    other = next((each for each, its in tracked if its != track), "")
    if other:
        from specs.problems import Problem, render

        there = project.span("images", first, "track")
        problem = Problem(
            text=f"{entry(name)} is tracked in two ways",
            span=project.span("images", other, "track"),
            hint=f"the other one is at {there.brief}" if there else "",
        )
        raise SpecBroken(render([problem]), 1)
    return track


def _tracked(
    project: "Project", names: Mapping[str, str], name: str
) -> "Iterator[tuple[str, Track]]":
    for key, image in project.images.items():
        if image.track is not None and names[str(key)] == name:
            yield str(key), image.track
