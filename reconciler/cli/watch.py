"""``trueup watch``: keep the machine as the spec says, for good."""

import sys
from pathlib import Path

from reconciler.cli.arguments import GlobalOptions, Parser, add_path, seconds
from reconciler.cli.console import opened, records
from reconciler.cli.plan import add_frozen
from reconciler.cli.trees import add_recursive, check_folder


class Options(GlobalOptions):
    path: Path
    recursive: bool
    frozen: bool
    interval: float
    log_format: str


def arguments(parser: Parser) -> None:
    add_path(parser)
    add_recursive(parser)
    add_frozen(parser)
    parser.add_argument(
        "--interval",
        type=seconds,
        default=30.0,
        metavar="SECONDS",
        help="look again after so long even if nothing seems to have happened (default: 30)",
    )
    parser.add_argument(
        "--log-format",
        choices=("logfmt", "json"),
        default="logfmt",
        help="key=value lines or JSON, on stderr (default: logfmt)",
    )


def run(options: Options) -> int:
    """Make passes until SIGTERM or Ctrl-C; containers go on."""
    from reconciler.loop.log import logger
    from reconciler.loop.service import Service
    from reconciler.loop.spec_tree import SpecTree
    from reconciler.trees import member

    log = logger(sys.stderr, options.log_format)
    if options.recursive:
        check_folder(options.path)
    with opened(options) as runtime:
        tree = SpecTree(options.path, frozen=options.frozen) if options.recursive else None
        Service(
            [] if tree else [member(options.path, frozen=options.frozen)],
            runtime,
            records(options, "watch"),
            log,
            interval=max(1.0, options.interval),
            tree=tree,
        ).run()
    return 0
