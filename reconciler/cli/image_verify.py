"""``trueup image verify``: whether images still are what they were."""

import sys
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.references import local
from reconciler.cli.showing import say, shown
from reconciler.views.containers import image
from reconciler.views.terminal import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.api import Damage, ImageSummary


class Options(GlobalOptions):
    names: list[str]
    quiet: bool


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("names", metavar="IMAGE", nargs="*", help="only these (default: every image)")
    add("-q", "--quiet", action="store_true", help="no progress")


def run(options: Options) -> int:
    """Read all that they are made of; exit 1 when something is damaged."""
    with opened(options) as runtime:
        names = [local(name, runtime) for name in options.names]
        with shown(", ".join(options.names) or "every image", quiet=options.quiet) as report:
            found = runtime.images.verify(names, report)
        images = runtime.images.list() if found else ()
    for each in found:
        say(escape(each.what))
    if not found:
        return 0
    sys.stderr.write("".join(f"{line}\n" for line in _advice(found, images)))
    return 1


def _advice(damage: "Sequence[Damage]", images: "Sequence[ImageSummary]") -> list[str]:
    """What to do for each image that something is missing of."""
    hurt = {id for each in damage for id in each.images}
    lines = []
    for each in images:
        if each.id in hurt:
            names = [name for name in each.references if "@" not in name] or each.references
            what = f"trueup pull {image(names[0])}" if names else f"load {each.id[7:19]} again"
            lines.append(f"  {escape(what)}")
    return ["these images cannot be used as they are:", *lines] if lines else []
