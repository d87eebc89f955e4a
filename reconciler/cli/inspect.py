"""``trueup inspect``: all that is known of containers, networks, volumes or images, as JSON."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.cli import image_inspect, network, volume
from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.documents import add_format, show
from reconciler.cli.network import NoSuchNetwork
from reconciler.cli.volume import NoSuchVolume
from reconciler.lookup import NoSuchContainer, find
from reconciler.views.inspect import Document, document
from runtime.errors import Absent, Fault
from runtime.reference import BadReference

if TYPE_CHECKING:
    from runtime.api import Runtime

TYPES = ("container", "network", "volume", "image")


class Options(GlobalOptions):
    names: list[str]
    type: str
    format: str


class NoSuchObject(Fault):
    """Nothing at all is called that."""

    def __init__(self, word: str) -> None:
        super().__init__(
            f"there is no container, network, volume or image `{word}`",
            hint="`trueup ps -a`, `trueup network ls`, `trueup volume ls` and `trueup images` list "
            "them",
        )


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "names", metavar="NAME", nargs="+", help="project/name, a name that is unique, or an id"
    )
    parser.add_argument(
        "--type", choices=TYPES, default="", help="only look among these (default: any)"
    )
    add_format(parser)


def run(options: Options) -> int:
    """Print one document per name, in their order."""
    with opened(options) as runtime:
        found = [_document(word, options.type, runtime) for word in options.names]
    show(found, options.format)
    return 0


def _document(word: str, kind: str, runtime: "Runtime") -> Document:
    """A container first, as Docker has it, then a network, then a volume, then an image."""
    if kind:
        return _READERS[kind](word, runtime)
    for reader in _READERS.values():
        with suppress(NoSuchContainer, NoSuchNetwork, NoSuchVolume, Absent, BadReference):
            return reader(word, runtime)
    raise NoSuchObject(word)


def _container(word: str, runtime: "Runtime") -> Document:
    container = find(word, runtime.containers())
    key = (container.key.project, container.key.name)
    services = {(each.applied.project, each.applied.name): each for each in runtime.services()}
    return document(container, services.get(key))


_READERS: dict[str, Callable[[str, "Runtime"], Document]] = {
    "container": _container,
    "network": network.inspected,
    "volume": volume.inspected,
    "image": image_inspect.inspected,
}
