"""``trueup status``: every object of a spec, and whether it is in sync."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser, add_path
from reconciler.cli.console import opened, wanted
from reconciler.cli.trees import add_recursive, in_turn, told_tree

if TYPE_CHECKING:
    from reconciler.desired import Desired
    from reconciler.tag_news import TagNews
    from runtime.api import Observed, Runtime


class Options(GlobalOptions):
    path: Path
    recursive: bool
    offline: bool
    format: str


def arguments(parser: Parser) -> None:
    add_path(parser)
    add_recursive(parser)
    parser.add_argument("--offline", action="store_true", help="ask no registry anything")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to print (default: text)"
    )


def run(options: Options) -> int:
    """Show the state; exit 0 whatever it is: ``plan`` is the command that answers by its exit
    status."""
    if options.recursive:
        tree = told_tree(options.path)
        with opened(options) as runtime:
            return in_turn(
                tree,
                lambda member: _show(member.desired, runtime, options),
                headers=options.format == "text",
            )
    desired = wanted(options.path)
    with opened(options) as runtime:
        return _show(desired, runtime, options)


def _show(desired: "Desired", runtime: "Runtime", options: Options) -> int:
    from reconciler import strays
    from reconciler.planning import plan
    from reconciler.views.status import render, state
    from runtime.api import encode

    observed = runtime.observe(desired.query(offline=options.offline))
    left = strays.notes(desired.project, desired.spec_path, runtime.projects())
    pending = plan(desired, observed, explicit=True)
    # Only the loop's plan has words for what it leaves alone.
    notes = plan(desired, observed, explicit=False).notes
    news = _news(desired, observed, runtime, options)
    notes = (*notes, *left, *news.notes)
    found = state(desired, observed, pending, notes, time.time(), news.texts)
    sys.stdout.write(f"{encode(found).decode()}\n" if options.format == "json" else render(found))
    return 0


def _news(
    desired: "Desired", observed: "Observed", runtime: "Runtime", options: Options
) -> "TagNews":
    from reconciler.tag_news import TagNews, tag_news

    if options.offline:
        return TagNews(texts={})
    return tag_news(desired, observed, runtime, now=time.time())
