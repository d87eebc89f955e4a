"""``trueup tag``: a further name for an image that is here."""

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.references import local, tagged


class Options(GlobalOptions):
    source: str
    target: str


def arguments(parser: Parser) -> None:
    parser.add_argument("source", metavar="IMAGE", help="a reference, an id, or a spec's own name")
    parser.add_argument(
        "target",
        metavar="[HOST/]NAME[:TAG]",
        help="the further name; what it meant before keeps its other names",
    )


def run(options: Options) -> int:
    """Give the name, and say nothing."""
    target = tagged(options.target)
    with opened(options) as runtime:
        runtime.images.tag(local(options.source, runtime), str(target))
    return 0
