"""``trueup doctor``: what this host has and lacks, and the commands that mend it."""

import sys

from reconciler.cli.arguments import GlobalOptions, Parser
from runtime.backends import open_runtime


class Options(GlobalOptions):
    format: str


def arguments(parser: Parser) -> None:
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="how to print (default: text)"
    )


def run(options: Options) -> int:
    """A line for each check, then the commands that mend; 1 when something is in the way of
    everything. Works without root, as far as that goes."""
    from contextlib import closing

    from reconciler.views.findings import as_json, as_text
    from runtime.api import Verdict

    with closing(open_runtime(options.root)) as runtime:
        found = runtime.findings()
    sys.stdout.write(as_json(found) if options.format == "json" else as_text(found))
    return int(any(each.verdict is Verdict.BLOCKER for each in found))
