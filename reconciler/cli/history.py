"""``trueup history``: the steps by which an image was made."""

import sys
import time

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.references import local


class Options(GlobalOptions):
    image: str
    human: bool
    no_trunc: bool
    quiet: bool
    format: str


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("image", metavar="IMAGE", help="a reference, an id, or a spec's own name")
    add(
        "-H",
        "--human",
        action="store_true",
        default=True,
        help="times and sizes in words (this is the default)",
    )
    add(
        "--human=false",
        "-H=false",
        dest="human",
        action="store_false",
        help="exact times, sizes in bytes",
    )
    add("--no-trunc", action="store_true", help="cut neither ids nor commands")
    add("-q", "--quiet", action="store_true", help="only ids")
    add("--format", default="table", help="`table`, `json` or a Go template (default: table)")


def run(options: Options) -> int:
    """List the steps, the newest first."""
    from reconciler.views.history import COLUMNS, TITLES, rows
    from reconciler.views.listing import listing

    with opened(options) as runtime:
        found = runtime.images.details(local(options.image, runtime))
    listed = rows(found, now=time.time(), full=options.no_trunc, human=options.human)
    form = "{{.ID}}" if options.quiet else options.format
    sys.stdout.write(listing(listed, TITLES, columns=COLUMNS, form=form))
    return 0
