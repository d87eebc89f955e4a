"""``trueup apply``: make the machine as the spec says."""

import sys
from pathlib import Path

from reconciler.cli.arguments import GlobalOptions, Parser, add_path, seconds
from reconciler.cli.console import opened, records, wanted
from reconciler.cli.plan import add_scope, scope, shown


class Options(GlobalOptions):
    path: Path
    dry_run: bool
    only: list[str]
    timeout: float | None
    take_over: bool
    yes: bool
    format: str


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add_path(parser)
    add("--dry-run", action="store_true", help="show the plan and leave")
    add_scope(parser)
    add(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="begin no further step after so long (default: no limit)",
    )
    add("-y", "--yes", action="store_true", help="never ask; what would delete data is refused")
    add("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def run(options: Options) -> int:
    """Show the plan, carry it out, tell what came of it; exit 0 converged, 1 failed."""
    from reconciler.passes import Spec, make_true

    desired = wanted(options.path)
    with opened(options) as runtime:
        aim = Spec(
            desired=desired,
            explicit=True,
            only=scope(options.only, desired, runtime),
            take_over=options.take_over,
        )
        if options.dry_run:
            plan = aim.plan(runtime)
            sys.stdout.write(shown(plan, options.format))
            return 1 if plan.problems else 0
        from reconciler.cli.onlooker import Onlooker

        onlooker = Onlooker(options.format, asks=True, may_ask=not options.yes)
        finished = make_true(
            aim, runtime, records(options, "apply"), onlooker, timeout=options.timeout
        )
        return onlooker.finish(finished, runtime)
