"""``trueup load``: every image of an archive, with its names."""

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.files import read
from reconciler.cli.showing import say, shown
from reconciler.views.containers import image

if TYPE_CHECKING:
    from runtime.api import Loaded


class Options(GlobalOptions):
    input: Path | None
    quiet: bool


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("-i", "--input", type=Path, metavar="FILE", help="the archive (default: stdin)")
    add("-q", "--quiet", action="store_true", help="no progress")


def run(options: Options) -> int:
    """Take the images in and name them."""
    with (
        opened(options) as runtime,
        read(options.input, "an archive of images") as (source, name),
        shown(name, quiet=options.quiet) as report,
    ):
        found = runtime.images.load(source, name, report)
    for each in found:
        for line in _told(each):
            say(line)
    return 0


def _told(each: "Loaded") -> list[str]:
    if not each.references:
        return [f"Loaded image ID: {each.id}"]
    return [f"Loaded image: {image(name)}" for name in each.references]
