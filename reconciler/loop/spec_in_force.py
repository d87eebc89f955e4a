"""The spec that the loop makes true: the last good one, whatever the file has become since."""

import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.registries import config_dir
from reconciler.trees import Member, member
from runtime.errors import Fault


class OtherProject(Fault):
    """The spec names another project than the one that is being watched."""

    def __init__(self, watched: str, named: str) -> None:
        super().__init__(
            f"the spec is now of project {named}, but {watched} is being watched",
            hint=f"end this watch, run `trueup down --project {watched}`, and watch again",
        )


class SpecInForce:
    """``warnings`` are those of the spec in force, ready to be told; ``folders`` hold its
    files, and those of the machine that it is read with."""

    def __init__(self, first: Member, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._take(first)

    @property
    def path(self) -> Path:
        return self._member.path

    @property
    def place(self) -> str:
        """Where the project gets its name."""
        return self._member.place

    def refresh(self) -> Fault | None:
        """Read the spec again; when that cannot be used the last good one stays, and the reason
        is returned."""
        try:
            again = member(self.path, self._environ, frozen=self._member.frozen)
        except Fault as fault:
            return fault
        if again.project != self.desired.project:
            return OtherProject(self.desired.project, again.project)
        self._take(again)
        return None

    def _take(self, good: Member) -> None:
        from specs.problems import render

        project = good.loaded.project
        self._member, self.desired = good, good.desired
        told = (render([each]).rstrip("\n") for each in good.loaded.warnings)
        self.warnings = (*told, *filter(None, [good.desired.locking.warning]))
        files = [Path(file).parent for file in project.files]
        machine = Path(config_dir(self._environ))
        self.folders = frozenset({Path(project.directory), machine, *files})
