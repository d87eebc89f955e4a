"""Runtimes by name, imported when they are opened; and where an instance keeps what is ours.

The one way from the reconciler to a backend.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from runtime.embedded.paths import Paths

if TYPE_CHECKING:
    from runtime.api import PartVersion, Runtime


def instance(root: Path | None) -> Paths:
    """The paths of the instance below ``root``, or of the machine's own."""
    return Paths.default() if root is None else Paths.below(root)


def open_runtime(root: Path | None, backend: str = "embedded") -> "Runtime":
    """Open the runtime of an instance; whoever calls closes it. Raises a ``Fault`` when the
    machine cannot carry it."""
    if backend != "embedded":
        raise NotImplementedError(backend)
    from runtime.embedded.engine import Engine

    return Engine.open(instance(root))


def versions(backend: str = "embedded") -> "tuple[PartVersion, ...]":
    """The parts of a backend on this machine and which they are; opens nothing."""
    if backend != "embedded":
        raise NotImplementedError(backend)
    from runtime.embedded.hostfacts import versions as found

    return found()
