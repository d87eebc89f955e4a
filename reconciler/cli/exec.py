"""``trueup exec``: a further process in a running container.

Its exit code is ours. Words after the container are the command's own, options among them.
"""

import argparse
import os
import re
import sys
from pathlib import Path

from reconciler.cli.arguments import GlobalOptions, Parser, Usage
from reconciler.cli.console import opened
from runtime.errors import Fault


class Options(GlobalOptions):
    interactive: bool
    tty: bool
    detach: bool
    user: str | None
    env: list[str]
    env_file: list[Path]
    workdir: str | None
    privileged: bool
    container: str
    command: list[str]


class NoTerminal(Fault):
    """``-it`` without a terminal on stdin."""

    def __init__(self) -> None:
        super().__init__("the input device is not a TTY", hint="leave out -t")


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("-i", "--interactive", action="store_true", help="give it our stdin")
    add("-t", "--tty", action="store_true", help="run it on a terminal of its own")
    add("-d", "--detach", action="store_true", help="start it and leave it alone")
    add("-u", "--user", metavar="USER[:GROUP]", help="names or numbers, as the image knows them")
    add(
        "-e",
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="set a variable, or give it ours; may be given again",
    )
    add(
        "--env-file",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="set the variables that a file names; may be given again",
    )
    add("-w", "--workdir", type=_absolute, metavar="DIR", help="the folder that it starts in")
    add("--privileged", action="store_true", help="give it every capability")
    add("container", metavar="CONTAINER", help="project/name, a name that is unique, or an id")
    add("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="a program and its arguments")


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"`{text}` is no absolute path; write it like /srv")
    return text


def run(options: Options) -> int:
    """Run the command and return its exit code."""
    from reconciler.lookup import find
    from runtime.api import ExecSpec, Stdio

    if not options.command:
        raise Usage("there is no command to run", "write it after the container's name")
    if options.interactive and options.tty and not options.detach and not os.isatty(0):
        raise NoTerminal
    process = ExecSpec(
        command=tuple(options.command),
        environment=_environment(options),
        user=options.user,
        working_dir=options.workdir,
        tty=options.tty,
        privileged=options.privileged,
        detach=options.detach,
    )
    stdio = Stdio(stdin=0 if options.interactive else None, stdout=1, stderr=2)
    with opened(options) as runtime:
        container = find(options.container, runtime.containers())
        sys.stdout.flush()
        return runtime.execute(container.id, process, stdio)


def _environment(options: Options) -> dict[str, str]:
    """Files first, so that what is written on the command line wins."""
    found: dict[str, str] = {}
    for path in options.env_file:
        found |= _from_file(path)
    for text in options.env:
        name, equals, value = text.partition("=")
        if not re.fullmatch(r"[^=\0\s]+", name):
            raise Usage(f"`{text}` sets no variable", "write it like NAME=value")
        if equals or name in os.environ:
            found[name] = value if equals else os.environ[name]
    return found


def _from_file(path: Path) -> dict[str, str]:
    """The variables of an environment file, in the form that specs know."""
    from specs import envfile

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{path} cannot be read: {error}", "name a file of NAME=value lines") from error
    read = envfile.parse(text, str(path), os.environ)
    if read.problems:
        raise Usage(f"{path}: {read.problems[0].text}", "a line is NAME=value or NAME")
    own = {name: os.environ.get(name) for name, value in read.values.items() if value is None}
    values = {**read.values, **own}
    return {name: value for name, value in values.items() if value is not None}
