"""``trueup status``: every object of a spec, and whether it is in sync."""

import sys
import time
from pathlib import Path

from reconciler.cli.arguments import GlobalOptions, Parser, add_path
from reconciler.cli.console import opened, wanted


class Options(GlobalOptions):
    path: Path
    format: str


def arguments(parser: Parser) -> None:
    add_path(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to print (default: text)"
    )


def run(options: Options) -> int:
    """Show the state; always exit 0: ``plan`` is the command that answers by its exit status."""
    from reconciler import strays
    from reconciler.planning import plan
    from reconciler.views.status import render, state
    from runtime.api import encode

    desired = wanted(options.path)
    with opened(options) as runtime:
        observed = runtime.observe(desired.query())
        left = strays.notes(desired.project, desired.spec_path, runtime.projects())
    pending = plan(desired, observed, explicit=True)
    # Only the loop's plan has words for what it leaves alone.
    notes = plan(desired, observed, explicit=False).notes
    found = state(desired, observed, pending, (*notes, *left), time.time())
    json = options.format == "json"
    sys.stdout.write(f"{encode(found).decode()}\n" if json else render(found))
    return 0
