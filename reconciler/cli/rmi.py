"""``trueup rmi``: names of images, and with the last one the image."""

import sys
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.references import local
from reconciler.views.images import removal
from runtime.errors import Absent, Fault

if TYPE_CHECKING:
    from runtime.api import Runtime


class Options(GlobalOptions):
    names: list[str]
    force: bool


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("names", metavar="IMAGE", nargs="+", help="a reference, an id, or a spec's own name")
    add(
        "-f",
        "--force",
        action="store_true",
        help="with several names, or used by a container that is stopped; one that is not here is "
        "no error",
    )


def run(options: Options) -> int:
    """Remove each; one that cannot be removed does not keep the others."""
    with opened(options) as runtime:
        told = [_remove(name, runtime, force=options.force) for name in options.names]
    return 0 if all(told) else 1


def _remove(name: str, runtime: "Runtime", *, force: bool) -> bool:
    from reconciler.views.faults import describe

    try:
        gone = runtime.images.remove(local(name, runtime), force=force)
    except Fault as fault:
        sys.stdout.flush()
        sys.stderr.write(f"{describe(fault)}\n")
        return force and isinstance(fault, Absent)
    sys.stdout.write("".join(f"{line}\n" for line in removal(gone, "Untagged", "Deleted")))
    return True
