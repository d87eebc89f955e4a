"""``trueup import``: an image of one layer, from a tar of a file system."""

import re
from pathlib import Path

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.files import read
from reconciler.cli.references import platform, tagged
from reconciler.cli.showing import say, shown
from runtime.errors import Fault


class Options(GlobalOptions):
    source: str
    reference: str
    change: list[str]
    message: str
    platform: str | None


class NotFetched(Fault):
    """Docker would fetch the file itself."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url} is not fetched",
            why="nothing tells whether what comes is what was meant",
            hint="fetch it, check it, and import the file: curl -fLo FILE URL; sha256sum FILE",
        )


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("source", metavar="FILE|-", help="a tar, compressed or not; -: from stdin")
    add("reference", metavar="[HOST/]NAME[:TAG]", nargs="?", default="", help="its name")
    add(
        "-c",
        "--change",
        action="append",
        default=[],
        metavar="INSTRUCTION",
        help="an instruction of Dockerfiles: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, "
        "STOPSIGNAL, USER, VOLUME or WORKDIR; may be given again",
    )
    add("-m", "--message", default="", help="the comment that `history` shows")
    add(
        "--platform",
        type=platform,
        metavar="OS/ARCH[/VARIANT]",
        help="what the programs in it are for (default: this machine)",
    )


def run(options: Options) -> int:
    """Take the tar in; the line on stdout is the image's id."""
    from reconciler.dockerfile import changed
    from runtime.api import ImageDefaults

    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", options.source):
        raise NotFetched(options.source)
    reference = str(tagged(options.reference)) if options.reference else ""
    config = changed(ImageDefaults(), options.change)
    path = None if options.source == "-" else Path(options.source)
    with (
        opened(options) as runtime,
        read(path, "a tar of a file system") as (source, name),
        shown(name, quiet=False) as report,
    ):
        id = runtime.images.import_tree(
            source, name, reference, config, options.message, options.platform, report
        )
    say(id)
    return 0
