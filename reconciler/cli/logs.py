"""``trueup logs``: what a container has written, the bytes as they are.

On a terminal control characters are shown as text, since a log is foreign; ``--raw`` sends them.
"""

import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping

from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import opened
from runtime.api import LogLine
from runtime.backends import copy_log


class Options(GlobalOptions):
    container: str
    follow: bool
    tail: int | None
    timestamps: bool
    raw: bool


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("container", metavar="CONTAINER", help="project/name, a name that is unique, or an id")
    add("-f", "--follow", action="store_true", help="go on until the container ends")
    add(
        "-n", "--tail", type=_lines, default=None, metavar="N", help="only the last N lines, or all"
    )
    add("-t", "--timestamps", action="store_true", help="the time before each line, in UTC")
    add("--raw", action="store_true", help="send control characters to a terminal, too")


def _lines(text: str) -> int | None:
    """A number of lines; Docker takes a negative number for all."""
    if text == "all":
        return None
    if not re.fullmatch("-?[0-9]{1,9}", text):
        raise ArgumentTypeError(f"`{text}` is no number of lines; write it like 20, or all")
    return None if text.startswith("-") else int(text)


def run(options: Options) -> int:
    """Write the container's stdout to stdout and its stderr to stderr."""
    from reconciler.lookup import find

    with opened(options) as runtime:
        container = find(options.container, runtime.containers())
        if container.applied and container.applied.logging.driver == "none":
            sys.stderr.write(f"note: {container.key} keeps no log: its `logging` has driver none\n")
            sys.stderr.flush()
        escaped = _escaped(options)
        if options.tail is None and not options.follow and not any(escaped.values()):
            out, err = sys.stdout.buffer.write, sys.stderr.buffer.write
            copy_log(runtime, container.id, out, err, stamps=options.timestamps)
            return 0
        write = _writer(options, escaped)
        for line in runtime.logs(container.id, tail=options.tail, follow=options.follow):
            write(line)
    return 0


def _escaped(options: Options) -> dict[str, bool]:
    """On which streams control characters are shown: those that a person looks at."""
    from reconciler.views.terminal import is_terminal

    streams = {"stdout": sys.stdout, "stderr": sys.stderr}
    return {name: is_terminal(each) and not options.raw for name, each in streams.items()}


def _writer(options: Options, escaped: Mapping[str, bool]) -> Callable[[LogLine], None]:
    """How a line goes out; what is followed is seen at once."""
    from reconciler.views.terminal import escape_bytes

    streams = {"stdout": sys.stdout, "stderr": sys.stderr}

    def write(line: LogLine) -> None:
        text = escape_bytes(line.text) if escaped[line.stream] else line.text
        prefix = f"{line.time} ".encode() if options.timestamps else b""
        out = streams[line.stream].buffer
        out.write(prefix + text)
        if options.follow:
            out.flush()

    return write
