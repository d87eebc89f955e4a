"""The words after ``trueup``, read into one typed value for the command that they name.

Global options may stand before the command or after it. Only the command that was given
builds its parser.
"""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from reconciler.cli import catalogue
from runtime.errors import Fault


class Usage(Fault):
    """The command line is not understood."""

    exit_code = 64

    def __init__(self, problem: str, hint: str) -> None:
        self.problem = problem
        super().__init__(problem, hint=hint)


class GlobalOptions(argparse.Namespace):
    """What every command understands. ``lock_timeout`` is in seconds, None waits for good."""

    root: Path | None
    lock_timeout: float | None


class Parser(argparse.ArgumentParser):
    """argparse, except that an error is raised instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise Usage(message, f"see `{self.prog} --help`")

    def read(self, words: Sequence[str], options: "GlobalOptions") -> list[str]:
        """Fill ``options``; returns the words that fit nowhere. Options may stand between names,
        but a command for a container has its own behind the container's name."""
        if any(action.nargs == argparse.REMAINDER for action in self._actions):
            return self.parse_known_args(words, namespace=options)[1]
        return self.parse_known_intermixed_args(words, namespace=options)[1]

    def options(self) -> list[str]:
        """Every option as it is written."""
        return [text for action in self._actions for text in action.option_strings]


def split(argv: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Cut the words into global options, the command (None if there is none) and its own words."""
    before: list[str] = []
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        before.append(rest.pop(0))
        if before[-1] in ("--root", "--lock-timeout") and rest:
            before.append(rest.pop(0))
    return before, rest[0] if rest else None, rest[1:]


def parse(
    command: str,
    module: ModuleType,
    words: Sequence[str],
    environ: Mapping[str, str] = os.environ,
    *,
    outer: GlobalOptions | None = None,
) -> GlobalOptions:
    """Read a command's words, global options among them, which may stand in ``outer`` already;
    raises ``Usage``."""
    parser = Parser(
        prog=f"trueup {command}",
        description=f"{catalogue.summary(command)}.",
        allow_abbrev=False,
        add_help=False,
    )
    module.arguments(parser)
    _add_globals(parser, environ)
    options = module.Options(**_globals_of(outer))
    if unknown := parser.read(words, options):
        raise _unknown(parser, unknown[0])
    return options  # type: ignore[no-any-return]  # a module's own subclass of GlobalOptions


def _add_globals(parser: Parser, environ: Mapping[str, str]) -> None:
    root = environ.get("TRUEUP_ROOT")
    group = parser.add_argument_group("global options")
    group.add_argument("-h", "--help", action="help", help="show this text and leave")
    group.add_argument(
        "--root",
        metavar="DIR",
        type=Path,
        default=Path(root) if root else None,
        help="use the instance whose state lives below DIR (default: $TRUEUP_ROOT, else the "
        "machine's own in /var/lib/trueup and /run/trueup)",
    )
    group.add_argument(
        "--lock-timeout",
        metavar="SECONDS",
        type=seconds,
        default=None,
        help="give up when another trueup works on the same project for longer than this "
        "(default: wait)",
    )


def _globals_of(options: GlobalOptions | None) -> dict[str, object]:
    """argparse leaves alone what is there, unless it is given again."""
    if options is None:
        return {}
    return {"root": options.root, "lock_timeout": options.lock_timeout}


def _unknown(parser: Parser, word: str) -> Usage:
    if not word.startswith("-"):
        return Usage(f"`{word}` is one argument too many", f"see `{parser.prog} --help`")
    # Of one letter any other is near: -q is no slip of -y.
    near = catalogue.nearest(word.partition("=")[0], parser.options()) if len(word) > 2 else None
    meant = f"did you mean {near}? " if near else ""
    return Usage(f"{parser.prog} has no option {word}", f"{meant}see `{parser.prog} --help`")


def seconds(text: str) -> float:
    """A time in seconds, not negative; for argparse's ``type=``."""
    with suppress(ValueError):
        if 0 <= (value := float(text)) < 1e9:
            return value
    raise argparse.ArgumentTypeError(f"`{text}` is no time in seconds; write it like 30 or 0.5")


def count(text: str) -> int:
    """A whole number, not negative; for argparse's ``type=``."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"`{text}` is no number of them; write it like 3")
    return int(text)


def names(text: str) -> list[str]:
    """``a`` or ``a,b``; for argparse's ``type=``."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"`{text}` holds an empty name; write it like a or a,b")
    return found


def add_path(parser: argparse.ArgumentParser) -> None:
    """The spec that a command works on."""
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        type=Path,
        default=Path(),
        help="a spec file, or a folder with a trueup.yaml (default: this folder)",
    )
