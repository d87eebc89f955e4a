"""The caller's terminal and a command's terminal made one: what is typed goes there, what it says
comes here, and the size follows the window.

Every key belongs to the command: the caller's terminal is in raw mode meanwhile, and as before
afterwards, whatever happens.
"""

import errno
import fcntl
import os
import select
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from runtime import durable
from runtime.api import Stdio

BLOCK = 1 << 16  # bytes
_LAST_WORDS = 50  # milliseconds for output to come after the command's end
_END_OF_INPUT = b"\x04"  # what a terminal takes for it, termios(3), VEOF


def size(stdio: Stdio) -> tuple[int, int] | None:
    """Rows and columns of the caller's terminal; None when there is none."""
    fd = _terminal(stdio)
    if fd is None:
        return None
    columns, rows = os.get_terminal_size(fd)
    return rows, columns


def join(console: int, stdio: Stdio, over: int) -> None:
    """Carry everything between the caller and ``console`` until the pidfd ``over`` says that
    the command has ended and its output is here. For the main thread."""
    with ExitStack() as stack:
        window = _terminal(stdio)
        if window is not None:
            stack.enter_context(_following(window, console))
        if stdio.stdin is not None and os.isatty(stdio.stdin):
            stack.enter_context(_raw(stdio.stdin))
        os.set_blocking(console, False)
        _carry(console, stdio.stdin, stdio.stdout, over)


def _terminal(stdio: Stdio) -> int | None:
    """Which of the caller's descriptors has a window."""
    candidates = (stdio.stdout, stdio.stdin)
    return next((fd for fd in candidates if fd is not None and os.isatty(fd)), None)


@contextmanager
def _raw(fd: int) -> Iterator[None]:
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextmanager
def _following(window: int, console: int) -> Iterator[None]:
    """The console has the window's size, now and after every change."""

    def copy(*_: object) -> None:
        packed = fcntl.ioctl(window, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(console, termios.TIOCSWINSZ, packed)

    before = signal.signal(signal.SIGWINCH, copy)
    try:
        copy()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _carry(console: int, stdin: int | None, stdout: int, over: int) -> None:
    """Neither direction waits for the other: else a long paste and a long answer would hold each
    other up for good."""
    typed = b""
    while True:
        poll = select.poll()
        poll.register(console, select.POLLIN | (select.POLLOUT if typed else 0))
        poll.register(over, select.POLLIN)
        if stdin is not None and not typed:
            poll.register(stdin, select.POLLIN)
        ready = dict(poll.poll())
        if ready.get(console, 0) & (select.POLLIN | select.POLLHUP):
            if not _passed(console, stdout):
                return
        elif over in ready:
            _drain(console, stdout)
            return
        if stdin is not None and stdin in ready:
            typed = os.read(stdin, BLOCK)
            if not typed:
                stdin, typed = None, _END_OF_INPUT
        if typed:
            typed = typed[_written(console, typed) :]


def _passed(console: int, stdout: int) -> bool:
    """Carry what is there; False when nobody has the terminal any more."""
    try:
        said = os.read(console, BLOCK)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False
    durable.write_all(stdout, said)
    return said != b""


def _drain(console: int, stdout: int) -> None:
    """The command has ended, but a child of it may hold the terminal: what was said still comes."""
    poll = select.poll()
    poll.register(console, select.POLLIN)
    while poll.poll(_LAST_WORDS) and _passed(console, stdout):
        pass


def _written(console: int, typed: bytes) -> int:
    try:
        return os.write(console, typed)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return len(typed)  # nobody reads it any more
