"""``trueup apply``: make the machine as the spec says."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser, Usage, add_path, seconds
from reconciler.cli.console import opened, records, wanted
from reconciler.cli.plan import add_frozen, add_scope, scope, shown
from reconciler.cli.trees import add_recursive, in_turn, one_only, told_tree

if TYPE_CHECKING:
    from reconciler.desired import Desired
    from reconciler.passes import Aim
    from runtime.api import Runtime


class Options(GlobalOptions):
    path: Path
    recursive: bool
    frozen: bool
    dry_run: bool
    only: list[str]
    timeout: float | None
    take_over: bool
    recreate_volume: list[str]
    plan: Path | None
    yes: bool
    format: str


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add_path(parser)
    add_recursive(parser)
    add(
        "--plan",
        metavar="FILE",
        type=Path,
        help="carry out the plan that `plan -o FILE` kept, and refuse if the world has moved",
    )
    add("--dry-run", action="store_true", help="show the plan and leave")
    add_frozen(parser)
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
    if options.recursive:
        return _run_tree(options)
    if options.plan is not None:
        _alone(options)
    with opened(options) as runtime:
        if options.plan is not None:
            aim = _kept(options.plan, frozen=options.frozen)
        else:
            aim = _spec(wanted(options.path, frozen=options.frozen), options, runtime)
        return _make_true(aim, runtime, options, timeout=options.timeout)


def _run_tree(options: Options) -> int:
    """One project after the other; their time is one."""
    one_only(
        {
            "--plan": options.plan,
            "--only": options.only,
            "--recreate-volume": options.recreate_volume,
        }
    )
    tree = told_tree(options.path, frozen=options.frozen)
    began = time.monotonic()

    def left() -> float | None:
        if options.timeout is None:
            return None
        return max(0.0, options.timeout - (time.monotonic() - began))

    with opened(options) as runtime:
        return in_turn(
            tree,
            lambda member: _make_true(
                _spec(member.desired, options, runtime), runtime, options, timeout=left()
            ),
            headers=options.format == "text",
        )


def _make_true(aim: "Aim", runtime: "Runtime", options: Options, *, timeout: float | None) -> int:
    from reconciler.passes import make_true

    if options.dry_run:
        plan = aim.plan(runtime)
        sys.stdout.write(shown(plan, options.format))
        return 1 if plan.problems else 0
    from reconciler.cli.onlooker import Onlooker

    agreed = frozenset(f"volume {name}" for name in options.recreate_volume)
    onlooker = Onlooker(options.format, asks=True, may_ask=not options.yes, agreed=agreed)
    finished = make_true(aim, runtime, records(options, "apply"), onlooker, timeout=timeout)
    return onlooker.finish(finished, runtime)


def _spec(desired: "Desired", options: Options, runtime: "Runtime") -> "Aim":
    from reconciler.passes import Spec

    return Spec(
        desired=desired,
        explicit=True,
        only=scope(options.only, desired, runtime),
        take_over=options.take_over,
        recreate=frozenset(options.recreate_volume),
    )


def _alone(options: Options) -> None:
    """A kept plan says itself what it is of. Raises ``Usage``."""
    if options.path != Path() or options.only or options.take_over:
        hint = "the plan holds its spec and scope; give them to `trueup plan -o FILE`"
        raise Usage("--plan goes without PATH, --only and --take-over", hint)


def _kept(file: Path, *, frozen: bool) -> "Aim":
    """What a kept plan says; its spec tells how to reach registries. Raises ``SpecBroken``, and
    ``NotLocked`` if ``frozen``."""
    from reconciler.passes import Exactly
    from reconciler.records import plan_file

    kept = plan_file.read(file)
    return Exactly(kept=kept, registries=wanted(Path(kept.spec), frozen=frozen).registries)
