"""A tree of specs while it is watched: which of them are new, and where more may appear."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.loop.spec_in_force import SpecInForce
from reconciler.trees import Member, NoSpecs, in_order, read_each, same_names
from runtime.errors import Fault
from specs.tree import open_folders, specs_below

# Each costs a watch of the kernel's; what comes to stand elsewhere is found by the next look.
MOST_FOLDERS = 1000


class NameTaken(Fault):
    """A new spec names a project that is being watched."""

    def __init__(self, project: str, place: str, watched: str) -> None:
        super().__init__(
            f"{place} declares project {project}, which is watched from {watched}",
            why="the first one stays in force",
            hint="give one of them another name with `project:`, or end this watch and begin anew",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a look at the tree found: projects to be watched from now on, those that others need
    first, and why further specs cannot be used."""

    members: tuple[Member, ...] = ()
    refused: tuple[Fault, ...] = ()


class SpecTree:
    """``folders`` are those where a spec may appear, as the last look found them."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str] = os.environ, *, frozen: bool = False
    ) -> None:
        """Raises ``NoSpecs``."""
        self.folder, self._environ, self._frozen = folder, environ, frozen
        if not specs_below(folder):
            raise NoSpecs(folder)
        self.folders: frozenset[Path] = frozenset()

    def look(self, watched: Collection[SpecInForce]) -> News:
        """Whether there is more than what is watched; a spec that has vanished is still watched."""
        self.folders = frozenset(map(Path, open_folders(self.folder)[:MOST_FOLDERS]))
        known = {spec.path for spec in watched}
        paths = [path for path in map(Path, specs_below(self.folder)) if path not in known]
        in_use = [spec.desired for spec in watched]
        sound, broken = read_each(paths, self._environ, known=in_use, frozen=self._frozen)
        places = {spec.desired.project: spec.place for spec in watched}
        taken = [each for each in sound if each.project in places]
        free = [each for each in sound if each.project not in places]
        clashes = tuple(same_names(free))
        twice = {clash.project for clash in clashes}
        members, _ = in_order([each for each in free if each.project not in twice])
        late = (NameTaken(each.project, each.place, places[each.project]) for each in taken)
        return News(members=members, refused=(*broken, *clashes, *late))
