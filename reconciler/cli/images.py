"""``trueup images``: the images that are here."""

import sys
import time

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened


class Options(GlobalOptions):
    quiet: bool
    no_trunc: bool
    digests: bool
    format: str


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("-q", "--quiet", action="store_true", help="only ids")
    add("--no-trunc", action="store_true", help="do not cut ids")
    add("--digests", action="store_true", help="a column with the digests of the manifests")
    add("--format", default="table", help="`table`, `json` or a Go template (default: table)")


def run(options: Options) -> int:
    """List the images, newest first."""
    from reconciler.views import images as view
    from reconciler.views.listing import listing

    with opened(options) as runtime:
        found = runtime.images.list()
    listed = view.rows(found, now=time.time(), full=options.no_trunc)
    if options.quiet:
        listed = list({row["ID"]: row for row in listed}.values())
    form = "{{.ID}}" if options.quiet else options.format
    columns = view.DIGEST_COLUMNS if options.digests else view.COLUMNS
    sys.stdout.write(listing(listed, view.TITLES, columns=columns, form=form))
    return 0
