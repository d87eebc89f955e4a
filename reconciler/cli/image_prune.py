"""``trueup image prune``: the images that nothing uses, and all data that no image needs."""

import sys
import time

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.filters import add_filter, read
from reconciler.cli.image_filters import test
from reconciler.cli.references import local
from reconciler.views.terminal import is_terminal
from runtime.errors import Fault

FILTERS = ("until", "label", "label!")


class Options(GlobalOptions):
    all: bool
    force: bool
    filter: list[str]


class NobodyAsked(Fault):
    """There is no terminal to ask on."""

    def __init__(self) -> None:
        super().__init__(
            "nothing was removed",
            why="nobody could be asked whether the images may go",
            hint="run it on a terminal and answer the question, or say --force",
        )


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "-a",
        "--all",
        action="store_true",
        help="all that no container was made from (default: only those without a tag)",
    )
    add("-f", "--force", action="store_true", help="do not ask")
    add_filter(parser, "--filter", keys=FILTERS)


def run(options: Options) -> int:
    """Ask, remove, and tell what went and how much room it took."""
    from reconciler.views.images import removal
    from reconciler.views.quantities import decimal_size

    filters, now = read(options.filter, FILTERS), time.time()
    with opened(options) as runtime:
        chosen = test(
            filters, now, lambda word: runtime.images.details(local(word, runtime)).created
        )
        if not (options.force or _agreed(options)):
            return 0
        gone = runtime.images.prune(everything=options.all, chosen=chosen)
    if gone.untagged or gone.deleted:
        lines = removal(gone, "untagged", "deleted")
        sys.stdout.write("Deleted Images:\n" + "".join(f"{line}\n" for line in lines) + "\n")
    sys.stdout.write(f"Total reclaimed space: {decimal_size(gone.freed)}\n")
    return 0


def _agreed(options: Options) -> bool:
    """Raises ``NobodyAsked``."""
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise NobodyAsked
    which = "all images that no container was made from" if options.all else "all dangling images"
    only = f" that fit {', '.join(options.filter)}" if options.filter else ""
    sys.stdout.write(f"WARNING! This will remove {which}{only}.\n")
    sys.stdout.write("Are you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
