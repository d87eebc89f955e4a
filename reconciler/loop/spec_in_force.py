"""The spec that the loop makes true: the last good one, whatever the file has become since."""

import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.desired import Desired, desire
from reconciler.spec import read
from runtime.errors import Fault


class OtherProject(Fault):
    """The spec names another project than the one that is being watched."""

    def __init__(self, watched: str, named: str) -> None:
        super().__init__(
            f"the spec is now of project {named}, but {watched} is being watched",
            hint=f"end this watch, run `trueup down --project {watched}`, and watch again",
        )


class SpecInForce:
    """Raises what loading raises when the spec is not good from the first. ``warnings`` are
    those of the spec in force, ready to be told."""

    def __init__(self, path: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._path, self._environ = path, environ
        self._load()

    def refresh(self) -> Fault | None:
        """Read the spec again; when that cannot be used the last good one stays, and the reason
        is returned."""
        try:
            self._load(self.desired.project)
        except Fault as fault:
            return fault
        return None

    def _load(self, watched: str | None = None) -> None:
        from specs.problems import render

        loaded = read(self._path, self._environ)
        project = loaded.project
        if watched not in (None, project.name):
            raise OtherProject(str(watched), project.name)
        self.desired: Desired = desire(project, self._environ)
        self.warnings = tuple(render([each]).rstrip("\n") for each in loaded.warnings)
        files = [Path(file).parent for file in project.files]
        self.folders = frozenset({Path(project.directory), *files})
