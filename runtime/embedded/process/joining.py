"""Links in a bundle to the namespaces of another container's process.

The OCI runtime is told the links; what they lead to is set before each start, as the other may
have another process by then. ``on_exit`` does the same when it brings a container back.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from runtime.embedded.process import run
from runtime.embedded.process.identity import alive
from runtime.errors import Fault


class NotRunning(Fault):
    """The container whose namespaces shall be joined does not run."""

    def __init__(self, id: str, other: str) -> None:
        self.id, self.other = id, other
        super().__init__(
            f"container {id[:12]} cannot be started",
            why=f"it lives in a namespace of container {other[:12]}, which does not run",
            hint="start that one first",
        )


def link(bundle: Path, kind: str) -> Path:
    """Where a bundle leads to a namespace; ``kind`` as in /proc/PID/ns."""
    return bundle / f"joined-{kind}"


def join(bundle: Path, joins: Sequence[tuple[str, Path]]) -> None:
    """Lead to the processes that run now. Raises ``NotRunning``."""
    for kind, other in joins:
        last = run.read_run(other)
        if last is None or not alive(last.init):
            raise NotRunning(bundle.name, other.name)
        place = link(bundle, kind)
        place.unlink(missing_ok=True)
        os.symlink(f"/proc/{last.pid}/ns/{kind}", place)
