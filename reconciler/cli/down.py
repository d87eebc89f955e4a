"""``trueup down``: remove what a project owns; volumes only when they are named."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser, add_path, names, seconds
from reconciler.cli.console import opened, records

if TYPE_CHECKING:
    from runtime.api import Runtime

EVERY = "all"


class Options(GlobalOptions):
    path: Path
    project: str | None
    volumes: list[str]
    timeout: float | None
    format: str


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add_path(parser)
    add("--project", metavar="NAME", help="this project, wherever its spec is (or was)")
    add(
        "--volumes",
        type=names,
        action="extend",
        default=[],
        metavar="NAME",
        help="remove this volume and all data in it, too; may be given again, or several with "
        "commas between them; `all` means every one",
    )
    add("--timeout", type=seconds, metavar="SECONDS", help="begin no further step after so long")
    add("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def run(options: Options) -> int:
    """Show what goes, remove it, tell what came of it; exit 0 gone, 1 failed."""
    from reconciler.cli.onlooker import Onlooker
    from reconciler.passes import Absence, make_true

    with opened(options) as runtime:
        aim = Absence(
            project=options.project or _project(options.path, runtime),
            folder="" if options.project else _folder(options.path),
            volumes=frozenset(options.volumes) - {EVERY},
            every_volume=EVERY in options.volumes,
        )
        # Who names a volume has agreed to lose it.
        onlooker = Onlooker(options.format, asks=False, may_ask=False)
        finished = make_true(
            aim, runtime, records(options, "down"), onlooker, timeout=options.timeout
        )
        return onlooker.finish(finished, runtime)


def _folder(path: Path) -> str:
    """The folder that a spec's project is applied from."""
    return os.path.abspath(path if path.is_dir() else path.parent)


def _project(path: Path, runtime: "Runtime") -> str:
    """The project of the spec, or, where the spec is broken or gone, the one that was applied
    from its folder. Raises ``SpecBroken`` when there is none or more than one."""
    from reconciler.spec import SpecBroken, read
    from specs.naming import project_name

    if name := project_name(path):
        return name
    try:
        return read(path).project.name
    except SpecBroken:
        folder = _folder(path)
        applied = [each for each, place in runtime.projects().items() if place == folder]
        if len(applied) != 1:
            raise
        return applied[0]
