"""The files that commands read from and write to: ``-o FILE``, ``-i FILE``, stdin and stdout."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EISDIR
from pathlib import Path

from reconciler.views.terminal import is_terminal
from runtime.errors import Fault


class ToTerminal(Fault):
    """An archive would be written to a terminal."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is not written to a terminal",
            hint="give a file with -o, or redirect the output",
        )


class FromTerminal(Fault):
    """An archive would be read from a terminal."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is not read from a terminal", hint="give a file, or redirect the input"
        )


class FileRefused(Fault):
    """A file that cannot be opened."""

    def __init__(self, path: Path, error: OSError, *, verb: str) -> None:
        super().__init__(f"{path} cannot be {verb}", why=error.strerror or str(error))


@contextmanager
def written(path: Path | None, what: str) -> Iterator[int]:
    """A descriptor to write ``what`` to: of stdout without ``path``. A file is there under its
    name once all is written, readable for its owner only; before, and after a failure, what was
    there is. It is not synced: it can be made again.

    Raises ``ToTerminal`` and ``FileRefused``.
    """
    if path is None:
        if is_terminal(sys.stdout):
            raise ToTerminal(what)
        sys.stdout.flush()
        yield 1
        return
    place = Path(os.path.realpath(path))  # a link stays one
    if place.is_dir():
        raise _is_a_folder(path, verb="written")
    if _is_special(place):
        with _opened(place, os.O_WRONLY, path, verb="written") as fd:
            yield fd
        return
    beside = place.with_name(f".{place.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with _opened(beside, flags, path, verb="written") as fd:
            yield fd
        _rename(beside, place, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def _is_a_folder(path: Path, *, verb: str) -> FileRefused:
    return FileRefused(path, IsADirectoryError(EISDIR, os.strerror(EISDIR)), verb=verb)


def _is_special(place: Path) -> bool:
    """A device or pipe is written to; a rename would replace it."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _rename(beside: Path, place: Path, path: Path) -> None:
    try:
        beside.rename(place)
    except OSError as error:
        raise FileRefused(path, error, verb="written") from error


@contextmanager
def read(path: Path | None, what: str) -> Iterator[tuple[int, str]]:
    """A descriptor to read ``what`` from, and its name for messages: of stdin without ``path``.

    Raises ``FromTerminal`` and ``FileRefused``.
    """
    if path is not None:
        with _opened(path, os.O_RDONLY, path, verb="read") as fd:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise _is_a_folder(path, verb="read")
            yield fd, str(path)
        return
    if is_terminal(sys.stdin):
        raise FromTerminal(what)
    yield 0, "the standard input"


@contextmanager
def _opened(place: Path, flags: int, path: Path, *, verb: str) -> Iterator[int]:
    try:
        fd = os.open(place, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FileRefused(path, error, verb=verb) from error
    try:
        yield fd
    finally:
        os.close(fd)
