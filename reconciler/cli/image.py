"""``trueup image``: everything about images under one word, as Docker has it."""

import argparse
from importlib import import_module

from reconciler.cli import catalogue
from reconciler.cli.arguments import GlobalOptions, Parser, Usage, parse

# Docker's other words for a member.
_ALIASES = {"list": "ls", "remove": "rm"}


class Options(GlobalOptions):
    action: str
    words: list[str]


def arguments(parser: Parser) -> None:
    known = ", ".join(catalogue.MEMBERS["image"])
    parser.add_argument("action", metavar="COMMAND", help=known)
    parser.add_argument(
        "words",
        metavar="...",
        nargs=argparse.REMAINDER,
        help="its own: see `trueup image COMMAND --help`",
    )


def run(options: Options) -> int:
    """Run the member that is named, and return its exit status."""
    members = catalogue.MEMBERS["image"]
    action = _ALIASES.get(options.action, options.action)
    if action not in members:
        near = catalogue.nearest(action, tuple(members))
        meant = f"did you mean `trueup image {near}`? " if near else ""
        raise Usage(f"trueup image has no command `{action}`", f"{meant}see `trueup image --help`")
    command = f"image {action}"
    module = import_module(catalogue.module(command))
    status: int = module.run(parse(command, module, options.words, outer=options))
    return status
