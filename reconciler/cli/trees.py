"""``-r``: what a command does with a project, done with every project of a tree in turn."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import Parser, Usage
from runtime.errors import Fault

if TYPE_CHECKING:
    from reconciler.trees import Member, Tree

BROKEN = 64
INTERRUPTED = 130
# The exit status of the whole is the first of these that one of the projects has.
_WORST_FIRST = (BROKEN, 1, 2)


def add_recursive(parser: Parser) -> None:
    """The option that makes PATH a tree."""
    parser.add_argument(
        "-r",
        "--recursive",
        action="store_true",
        help="PATH is a folder; every spec in it and below is a project",
    )


def one_only(given: Mapping[str, object]) -> None:
    """Refuse options that speak of one project, by name with their values. Raises ``Usage``."""
    for option, value in given.items():
        if value:
            raise Usage(f"{option} does not go with -r", "it speaks of one project: name its spec")


def told_tree(folder: Path, *, frozen: bool = False) -> "Tree":
    """The tree, with all that is wrong with its specs told on stderr. Raises ``NoSpecs``,
    ``Usage``."""
    from reconciler.trees import read_tree

    check_folder(folder)
    tree = read_tree(folder, frozen=frozen)
    for fault in tree.broken:
        _tell(fault)
    if tree.circle:
        told = ", ".join(tree.circle)
        sys.stderr.write(f"warning: {told} use networks or volumes of each other in a circle\n")
    return tree


def check_folder(folder: Path) -> None:
    """Raises ``Usage`` for what is no folder."""
    if not folder.is_dir():
        raise Usage(f"{folder} is no folder", "with -r, name the folder that holds the projects")


def in_turn(
    tree: "Tree", act: Callable[["Member"], int], *, headers: bool, locks: bool = True
) -> int:
    """Act on each project, under a line that names it if ``headers`` are wanted; what one raises
    is told and hinders no other. With ``locks`` it is told which lock files are behind. Returns the
    exit status: 64 if a spec was broken, 1 if a project failed, 2 if changes are pending, else 0.
    """
    from reconciler.cli.console import tell_locking, tell_warnings

    statuses = {BROKEN} if tree.broken else set[int]()
    headers = headers and len(tree.members) + len(tree.broken) > 1
    for number, each in enumerate(tree.members):
        if headers:
            _head(each, blank=number > 0)
        tell_warnings(each.loaded)
        if locks:
            tell_locking(each.desired)
        status = _guarded(act, each)
        if status == INTERRUPTED:
            return INTERRUPTED
        statuses.add(status)
    return next((status for status in _WORST_FIRST if status in statuses), 0)


def _head(member: "Member", *, blank: bool) -> None:
    from reconciler.views.terminal import escape

    above = "\n" if blank else ""
    sys.stdout.write(f"{above}== {escape(f'{member.project} ({member.path})')}\n")
    sys.stdout.flush()


def _guarded(act: Callable[["Member"], int], member: "Member") -> int:
    try:
        status = act(member)
    except Fault as fault:
        _tell(fault)
        status = fault.exit_code
    sys.stdout.flush()
    return status


def _tell(fault: Fault) -> None:
    from reconciler.views.faults import describe

    sys.stderr.write(f"{describe(fault)}\n")
