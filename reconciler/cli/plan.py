"""``trueup plan``: what ``apply`` would do; nothing is changed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser, add_path
from reconciler.cli.console import opened, wanted

if TYPE_CHECKING:
    from reconciler.plan import Plan

PENDING = 2


class Options(GlobalOptions):
    path: Path
    only: list[str]
    take_over: bool
    format: str


def arguments(parser: Parser) -> None:
    add_path(parser)
    add_scope(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to print (default: text)"
    )


def add_scope(parser: Parser) -> None:
    """What of a spec shall be made true, as ``apply`` has it, too."""
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only this container and what it needs; may be given again",
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="the project was applied from another folder: from now on it belongs to this one",
    )


def run(options: Options) -> int:
    """Show the plan; exit 2 when changes are pending, 1 when something forbids to begin."""
    from reconciler.passes import Spec

    aim = Spec(
        desired=wanted(options.path),
        explicit=True,
        only=frozenset(options.only),
        take_over=options.take_over,
    )
    with opened(options) as runtime:
        plan = aim.plan(runtime)
    sys.stdout.write(shown(plan, options.format))
    if plan.problems:
        return 1
    return 0 if plan.converged else PENDING


def shown(plan: "Plan", form: str) -> str:
    """The plan for people, or as JSON without secret values."""
    if form == "json":
        from reconciler.plan import encode, redacted

        return f"{encode(redacted(plan)).decode()}\n"
    from reconciler.views.plan import render

    return render(plan)
