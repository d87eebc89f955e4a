"""``trueup images``: the images that are here."""

import sys
import time

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.filters import add_filter, read
from reconciler.cli.image_filters import test
from reconciler.cli.references import local

FILTERS = ("dangling", "label", "before", "since", "until", "reference")


class Options(GlobalOptions):
    repository: str | None
    all: bool
    quiet: bool
    no_trunc: bool
    digests: bool
    format: str
    filter: list[str]


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("repository", metavar="REPOSITORY[:TAG]", nargs="?", help="only these; * and ? fit any")
    add("-a", "--all", action="store_true", help="changes nothing: no image is hidden")
    add("-q", "--quiet", action="store_true", help="only ids")
    add("--no-trunc", action="store_true", help="do not cut ids")
    add("--digests", action="store_true", help="a column with the digests of the manifests")
    add_filter(parser, "-f", "--filter", keys=FILTERS)
    add("--format", default="table", help="`table`, `json` or a Go template (default: table)")


def run(options: Options) -> int:
    """List the images, newest first."""
    from reconciler.views import images as view
    from reconciler.views.listing import listing

    filters, now = read(options.filter, FILTERS), time.time()
    patterns = filters.pop("reference", [])
    if options.repository:
        patterns.append(options.repository)
    with opened(options) as runtime:
        fits = test(filters, now, lambda word: runtime.images.details(local(word, runtime)).created)
        found = [each for each in runtime.images.list() if fits(each)]
    listed = view.rows(found, now=now, full=options.no_trunc, patterns=patterns)
    form = "{{.ID}}" if options.quiet else options.format
    columns = view.DIGEST_COLUMNS if options.digests else view.COLUMNS
    sys.stdout.write(listing(listed, view.TITLES, columns=columns, form=form))
    return 0
