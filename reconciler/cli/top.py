"""``trueup top``: the processes of a container."""

import argparse
import sys
import time

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened


class Options(GlobalOptions):
    container: str
    options: list[str]


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("container", metavar="CONTAINER", help="project/name, a name that is unique, or an id")
    add(
        "options",
        metavar="PS OPTIONS",
        nargs=argparse.REMAINDER,
        help="what ps(1) of the host shall print (default: -ef)",
    )


def run(options: Options) -> int:
    """Print them as ps(1) would, with pids as the host has them."""
    from reconciler.lookup import find
    from reconciler.views.processes import chosen, processes
    from runtime import programs

    with opened(options) as runtime:
        container = find(options.container, runtime.containers())
        rows = runtime.processes(container.id)
    if options.options:
        printed = programs.run(["ps", *options.options])
        sys.stdout.write(chosen(printed, {row.pid for row in rows}))
    else:
        sys.stdout.write(processes(rows, time.time()))
    return 0
