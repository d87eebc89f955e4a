"""``trueup validate``: a spec's errors, all at once; needs neither root nor an engine."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser, add_path
from reconciler.cli.console import read_spec, tell_locking
from reconciler.cli.trees import add_recursive, in_turn, told_tree

if TYPE_CHECKING:
    from specs.load import Loaded


class Options(GlobalOptions):
    path: Path
    recursive: bool


def arguments(parser: Parser) -> None:
    add_path(parser)
    add_recursive(parser)


def run(options: Options) -> int:
    """Report the errors (exit 64) or say that there are none; warnings go to stderr. Images are
    looked at as apply does, with what the machine's file says of registries."""
    from reconciler.desired import desire
    from reconciler.lock_file import read_beside

    if options.recursive:
        tree = told_tree(options.path)
        return in_turn(tree, lambda member: _valid(member.loaded), headers=False)
    loaded = read_spec(options.path)
    tell_locking(desire(loaded.project, lock=read_beside(options.path)))
    return _valid(loaded)


def _valid(loaded: "Loaded") -> int:
    count = len(loaded.project.containers)
    noun = "container" if count == 1 else "containers"
    sys.stdout.write(f"{loaded.project.name}: the spec is valid ({count} {noun})\n")
    return 0
