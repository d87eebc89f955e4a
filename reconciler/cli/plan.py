"""``trueup plan``: what ``apply`` would do; nothing is changed."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser, Usage, add_path, names
from reconciler.cli.console import opened, wanted
from reconciler.cli.trees import add_recursive, in_turn, one_only, told_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.desired import Desired
    from reconciler.passes import Spec
    from reconciler.plan import Plan
    from runtime.api import ContainerKey, Runtime

PENDING = 2


class Options(GlobalOptions):
    path: Path
    recursive: bool
    frozen: bool
    only: list[str]
    take_over: bool
    recreate_volume: list[str]
    output: Path | None
    format: str


def arguments(parser: Parser) -> None:
    add_path(parser)
    add_recursive(parser)
    add_frozen(parser)
    add_scope(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="keep the plan for `apply --plan FILE`; it holds secrets, only root can read it",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to print (default: text)"
    )


def add_frozen(parser: Parser) -> None:
    """The option of all that follow a spec to take only what is locked."""
    parser.add_argument(
        "--frozen",
        action="store_true",
        help="refuse image references that are not in the lock file",
    )


def add_scope(parser: Parser) -> None:
    """What of a spec shall be made true, as ``apply`` has it, too."""
    parser.add_argument(
        "--only",
        type=names,
        action="extend",
        default=[],
        metavar="NAME",
        help="only this container and what it needs; may be given again",
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="the project was applied from another folder: from now on it belongs to this one",
    )
    parser.add_argument(
        "--recreate-volume",
        type=names,
        action="extend",
        default=[],
        metavar="NAME",
        help="make this volume anew if its definition changed; ALL DATA in it is lost; may be "
        "given again",
    )


def scope(only: "Sequence[str]", desired: "Desired", runtime: "Runtime") -> frozenset[str]:
    """The containers that ``--only`` names. Raises ``Usage`` for one that the spec has not."""
    known = sorted({key.name for key in desired.containers})
    for name in sorted(set(only) - set(known)):
        hint = f"its containers: {', '.join(known) or 'none'}"
        if any(_is(each.key, desired.project, name) for each in runtime.containers()):
            hint += f"\n{name} is still here; `trueup apply` without --only removes it"
        raise Usage(f"the spec of {desired.project} has no container {name}", hint)
    return frozenset(only)


def _is(key: "ContainerKey", project: str, name: str) -> bool:
    return (key.project, key.name) == (project, name)


def run(options: Options) -> int:
    """Show the plan; exit 2 when changes are pending, 1 when something forbids to begin."""
    if options.recursive:
        one_only(
            {
                "--only": options.only,
                "--recreate-volume": options.recreate_volume,
                "--output": options.output,
            }
        )
        tree = told_tree(options.path, frozen=options.frozen)
        with opened(options) as runtime:
            return in_turn(
                tree,
                lambda member: _show(member.desired, runtime, options),
                headers=options.format == "text",
            )
    desired = wanted(options.path, frozen=options.frozen)
    with opened(options) as runtime:
        return _show(desired, runtime, options)


def _show(desired: "Desired", runtime: "Runtime", options: Options) -> int:
    from reconciler.passes import Spec

    aim = Spec(
        desired=desired,
        explicit=True,
        only=scope(options.only, desired, runtime),
        take_over=options.take_over,
        recreate=frozenset(options.recreate_volume),
    )
    plan = _kept(aim, runtime, options) if options.output else aim.plan(runtime)
    sys.stdout.write(shown(plan, options.format))
    if plan.problems:
        return 1
    return 0 if plan.converged else PENDING


def _kept(aim: "Spec", runtime: "Runtime", options: Options) -> "Plan":
    """The plan, also in the file that the options name, unless it cannot be carried out."""
    from reconciler.records import plan_file

    assert options.output is not None
    kept = aim.kept(runtime, os.path.abspath(options.path))
    if not kept.plan.problems:
        plan_file.write(options.output, kept)
    return kept.plan


def shown(plan: "Plan", form: str) -> str:
    """The plan for people, or as JSON without secret values."""
    if form == "json":
        from reconciler.plan import encode, redacted

        return f"{encode(redacted(plan)).decode()}\n"
    from reconciler.views.plan import render

    return render(plan)
