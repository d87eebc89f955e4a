"""A spec as the commands read it: the loader's errors become one fault with all of them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import Fault

if TYPE_CHECKING:
    from specs.load import Loaded


class SpecBroken(Fault):
    """The spec cannot be used; ``what`` holds every problem with its place, ready to print."""

    exit_code = 64

    def __init__(self, problems: str, count: int) -> None:
        self.count = count
        super().__init__(problems)


def read(path: Path, environ: Mapping[str, str] = os.environ) -> "Loaded":
    """Load a spec file, or the one in a folder; raises ``SpecBroken``."""
    from specs.load import load
    from specs.problems import SpecErrors, render

    try:
        return load(path, environ)
    except SpecErrors as errors:
        raise SpecBroken(render(errors.problems), len(errors.problems)) from errors
