"""``trueup ps``: the containers of all projects."""

import sys
import time

from reconciler.cli.arguments import GlobalOptions, Parser, count
from reconciler.cli.console import opened
from reconciler.cli.filters import read


class Options(GlobalOptions):
    all: bool
    quiet: bool
    last: int | None
    latest: bool
    no_trunc: bool
    format: str
    filter: list[str]


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="stopped ones too (default: only running ones)")
    add("-q", "--quiet", action="store_true", help="only ids")
    add("-n", "--last", type=count, metavar="N", help="the N last created ones, running or not")
    add("-l", "--latest", action="store_true", help="the last created one, running or not")
    add("--no-trunc", action="store_true", help="do not cut ids and commands")
    add("--format", default="table", help="`table`, `json` or a Go template (default: table)")
    add(
        "-f",
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only those with this status, name, project, id, label or health; may be given again",
    )


def run(options: Options) -> int:
    """List the containers, newest first."""
    from reconciler.views.containers import COLUMNS, FILTERS, HEALTH, STATES, TITLES, chosen, rows
    from reconciler.views.listing import listing

    words = {"status": list(dict.fromkeys(STATES.values())), "health": HEALTH}
    filters = read(options.filter, FILTERS, words)
    with opened(options) as runtime:
        found = chosen(
            runtime.containers(),
            everything=options.all,
            filters=filters,
            last=1 if options.latest else options.last,
        )
        services = () if options.quiet else runtime.services()
    listed = rows(found, services, now=time.time(), full=options.no_trunc)
    form = "{{.ID}}" if options.quiet else options.format
    sys.stdout.write(listing(listed, TITLES, columns=COLUMNS, form=form))
    return 0
