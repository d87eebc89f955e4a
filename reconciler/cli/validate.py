"""``trueup validate``: a spec's errors, all at once; needs neither root nor an engine."""

import sys
from pathlib import Path

from reconciler.cli.arguments import GlobalOptions, Parser, add_path
from reconciler.cli.console import read_spec


class Options(GlobalOptions):
    path: Path


def arguments(parser: Parser) -> None:
    add_path(parser)


def run(options: Options) -> int:
    """Report the errors (exit 64) or say that there are none; warnings go to stderr."""
    loaded = read_spec(options.path)
    count = len(loaded.project.containers)
    noun = "container" if count == 1 else "containers"
    sys.stdout.write(f"{loaded.project.name}: the spec is valid ({count} {noun})\n")
    return 0
