"""How commands on images show what they do while it takes long: on stderr, since stdout holds only
what scripts read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.api import Progress, Report


def say(line: str) -> None:
    """A line on stdout, at once: what follows may take long."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def shown(head: str, *, quiet: bool) -> "Iterator[Report]":
    """Where to report to; ``head`` names what is being moved. Nobody sees it with ``quiet``."""
    if quiet:
        yield _silent
        return
    from reconciler.views.progress import Area
    from reconciler.views.transfer import Transfer

    with Area(sys.stderr) as area:
        yield Transfer(area, key="", head=head, lines=True).report


def _silent(_progress: "Progress") -> None:
    """Nobody asked for progress."""
