"""``trueup export``: the file system of a container as one flat tar."""

from pathlib import Path

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from reconciler.cli.files import written
from reconciler.cli.showing import shown


class Options(GlobalOptions):
    container: str
    output: Path | None


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("container", metavar="CONTAINER", help="project/name, a name that is unique, or an id")
    add("-o", "--output", type=Path, metavar="FILE", help="write it there (default: to stdout)")


def run(options: Options) -> int:
    """Write the tar; nothing half-written is left under its name."""
    from reconciler.lookup import find

    with opened(options) as runtime:
        container = find(options.container, runtime.containers())
        with (
            written(options.output, "the file system of a container") as out,
            shown(str(container.key), quiet=False) as report,
        ):
            runtime.images.export(container.id, out, report)
    return 0
