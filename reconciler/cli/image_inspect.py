"""``trueup image inspect``: all that is known of images, as JSON."""

from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.documents import add_format, show
from reconciler.cli.references import local
from reconciler.views.inspect import Document

if TYPE_CHECKING:
    from runtime.api import Runtime


class Options(GlobalOptions):
    names: list[str]
    format: str


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "names", metavar="IMAGE", nargs="+", help="a reference, an id, or a spec's own name"
    )
    add_format(parser)


def run(options: Options) -> int:
    """Print one document per name, in their order."""
    with opened(options) as runtime:
        found = [inspected(word, runtime) for word in options.names]
    show(found, options.format)
    return 0


def inspected(word: str, runtime: "Runtime") -> Document:
    """The document of one image. Raises ``Absent`` and what else there is to say of the name."""
    from reconciler.views.image_document import document

    return document(runtime.images.details(local(word, runtime)))
