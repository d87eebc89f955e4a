"""``trueup network``: the networks of all projects. Specs make and remove them."""

import sys
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser, Usage
from reconciler.cli.console import opened
from reconciler.cli.documents import add_format, show
from reconciler.lookup import named
from reconciler.views import networks as view
from reconciler.views.inspect import Document
from runtime.errors import Fault

if TYPE_CHECKING:
    from runtime.api import Runtime


class Options(GlobalOptions):
    action: str
    names: list[str]
    quiet: bool
    no_trunc: bool
    format: str


class NoSuchNetwork(Fault):
    """No network is called that."""

    def __init__(self, word: str) -> None:
        super().__init__(f"there is no network `{word}`", hint="`trueup network ls` lists them all")


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("action", choices=("ls", "inspect"), help="list them, or tell all about some")
    add("names", metavar="NAME", nargs="*", help="project/name, or a name that is unique")
    add("-q", "--quiet", action="store_true", help="ls: only ids")
    add("--no-trunc", action="store_true", help="ls: do not cut ids")
    add_format(parser)


def run(options: Options) -> int:
    """List or inspect."""
    with opened(options) as runtime:
        if options.action == "inspect":
            if not options.names:
                raise Usage("network inspect needs a NAME", "`trueup network ls` lists them all")
            show([inspected(word, runtime) for word in options.names], options.format)
            return 0
        if options.names:
            raise Usage(f"`{options.names[0]}` is one argument too many", "network ls lists all")
        found = runtime.networks()
    from reconciler.views.listing import listing

    form = "{{.ID}}" if options.quiet else options.format or "table"
    listed = view.rows(found, full=options.no_trunc)
    sys.stdout.write(listing(listed, view.TITLES, columns=view.COLUMNS, form=form))
    return 0


def inspected(word: str, runtime: "Runtime") -> Document:
    """The document of one network. Raises ``NoSuchNetwork`` and ``Ambiguous``."""
    found = named(word, {view.name(each): each for each in runtime.networks()})
    if found is None:
        raise NoSuchNetwork(word)
    return view.document(found, runtime.services(), runtime.containers())
