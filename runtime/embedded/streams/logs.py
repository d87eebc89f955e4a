"""A container's log as conmon keeps it (its driver k8s-file), read fast and followed.

A record is ``2026-11-24T04:31:07.900122830+00:00 stdout F text``: one per read of at most 8,192
bytes; P marks a piece of a line, F its end. Times are UTC because conmon is started so. Where
its size limit is reached conmon starts the file anew. What was put aside as ``log.1``, and before
that as ``log.2``, is read before ``log``; between them ``last-log`` and ``next-log``, which are
second names of ``log`` until conmon replaces it (``process/on_exit.Log``).
"""

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.api import LogLine

BLOCK = 1 << 20  # bytes
TAIL_BLOCK = 1 << 16  # bytes
LONGEST_LINE = 1 << 20  # bytes; a longer line is given out in pieces
POLL = 0.05  # seconds

# A record's parts have fixed places: conmon prints 9 digits and a numeric zone.
_DIGITS, _TAG, _TEXT = 29, 43, 45
_STDERR = re.compile(rb"^[^ \n]+ stderr [^\n]*\n", re.MULTILINE)
_STDOUT = re.compile(rb"^[^ \n]+ stdout [^\n]*\n", re.MULTILINE)
_LINE_END = re.compile(rb"^[^ \n]+ std(?:out|err) F ", re.MULTILINE)


def never() -> bool:
    return False


def lines(
    log: Path,
    *,
    tail: int | None = None,
    follow: bool = False,
    ended: Callable[[], bool] = never,
) -> Iterator[LogLine]:
    """The lines of a log, or its last ``tail``; with ``follow`` also those to come, until
    ``ended`` says that the container writes no more. A last line without its end comes, too."""
    joined, source = _Joined(), _Source(log)
    try:
        for record in source.begin(tail):
            yield from joined.add(record)
        while follow:
            # Asked before reading: what was written before the end is read after it.
            last, before = ended(), source.records
            for record in source.more():
                yield from joined.add(record)
            if source.records == before:
                if last:
                    break
                time.sleep(POLL)
    finally:
        source.close()
    yield from joined.rest()


Sink = Callable[[bytes], object]


def copy(log: Path, out: Sink, err: Sink | None = None, *, stamps: bool = False) -> None:
    """Give the whole log to ``out``, and its stderr to ``err`` if that is given, as the program
    wrote it or with a time in front of each line: in large pieces, 200 MB of log in a second."""
    with _opened(log) as fds:
        for block in _blocks(fds):
            if err is None or b" stderr " not in block:
                out(_plain(block, stamps))
                continue
            out(_plain(_STDERR.sub(b"", block), stamps))
            err(_plain(_STDOUT.sub(b"", block), stamps))


def _plain(block: bytes, stamps: bool) -> bytes:
    """The text of whole records; slices at fixed places are twice as fast as a pattern."""
    records = block.split(b"\n")
    del records[-1]
    if b" P " not in block:
        if stamps:
            return b"".join([b"%sZ %s\n" % (r[:_DIGITS], r[_TEXT:]) for r in records])
        return b"".join([b"%s\n" % r[_TEXT:] for r in records])
    if not stamps:
        return b"".join([r[_TEXT:] + (b"\n" if r[_TAG] == ord("F") else b"") for r in records])
    joined = _Joined()
    found = [line for record in records for line in joined.add(record + b"\n")]
    return b"".join(b"%s %s" % (line.time.encode(), line.text) for line in found + joined.rest())


@contextmanager
def _opened(log: Path) -> Iterator[list[int]]:
    """Descriptors of what there is of it, the oldest part first, each part once."""
    fds = _open_parts(log)
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def _open_parts(log: Path) -> list[int]:
    """The same, to be closed by the caller; opened under the lock of those who rename them."""
    try:
        folder = os.open(log.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        fcntl.flock(folder, fcntl.LOCK_SH)
        while (parts := _open_once(log, folder)) is None:
            pass
    finally:
        os.close(folder)
    return parts


def _open_once(log: Path, folder: int) -> list[int] | None:
    """None when conmon, which takes no lock, has begun the log anew meanwhile."""
    parts: dict[int, int] = {}
    newest = None
    for name in _names(log):
        with suppress(FileNotFoundError):
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
            newest = os.fstat(fd).st_ino
            # A file with two names stands where the younger one does.
            _drop(parts, newest)
            parts[newest] = fd
    spare = _inode(f"{log.name}.tmp", folder)
    if _inode(log.name, folder) not in (None, newest):
        for inode in list(parts):
            _drop(parts, inode)
        return None
    # What conmon will take next is no part yet, and would be read too early.
    _drop(parts, spare)
    return list(parts.values())


def _drop(parts: dict[int, int], inode: int | None) -> None:
    if inode in parts:
        os.close(parts.pop(inode))


def _inode(name: str, folder: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder).st_ino
    except FileNotFoundError:
        return None


def _names(log: Path) -> list[str]:
    """Names that parts of it may have, the oldest first."""
    numbers = (path.suffix[1:] for path in log.parent.glob(f"{log.name}.*"))
    aside = sorted((int(number) for number in numbers if number.isdigit()), reverse=True)
    return [*(f"{log.name}.{number}" for number in aside), "last-log", "next-log", log.name]


def _blocks(fds: Sequence[int]) -> Iterator[bytes]:
    """Large blocks that end where a line of the program ends, as far as there are such ends; a
    line may go on in the next file."""
    left = b""
    for fd in fds:
        while block := os.read(fd, BLOCK):
            block = left + block
            end = _end_of_line(block)
            if end:
                yield block[:end]
            left = block[end:]
        left = left[: left.rfind(b"\n") + 1]  # of a record that was cut nothing more comes
    if left:
        yield left


def _end_of_line(block: bytes) -> int:
    """Behind the last whole record in ``block`` that is no piece; a line too long to wait for
    ends with any record."""
    end = block.rfind(b"\n") + 1
    if len(block) > BLOCK + LONGEST_LINE:
        return end
    while end:
        begin = block.rfind(b"\n", 0, end - 1) + 1
        if _LINE_END.match(block, begin):
            return end
        end = begin
    return 0


class _Source:
    """Records of a log that may grow, and be replaced by a new file, while we read it."""

    def __init__(self, log: Path) -> None:
        self.log, self.fd, self.left, self.records = log, -1, b"", 0

    def begin(self, tail: int | None) -> Iterator[bytes]:
        """What is there, or the last ``tail`` lines of it."""
        fds = _open_parts(self.log)
        for fd, start in zip(fds, _starts(fds, tail), strict=True):
            os.lseek(fd, start, os.SEEK_SET)
        yield from self._read_all(fds)

    def more(self) -> Iterator[bytes]:
        """What came since; files that conmon put in the place of ours are read after ours."""
        yield from self._read()
        if self._replaced():
            yield from self._read()  # written between the reading and the replacement
            yield from self._read_all(self._younger())

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _younger(self) -> list[int]:
        """The files that came after ours; all that there are when ours is kept no more."""
        fds = _open_parts(self.log)
        own = None if self.fd < 0 else os.fstat(self.fd).st_ino
        inodes = [os.fstat(fd).st_ino for fd in fds]
        count = inodes.index(own) + 1 if own in inodes else 0
        for fd in fds[:count]:
            os.close(fd)
        return fds[count:]

    def _read_all(self, fds: list[int]) -> Iterator[bytes]:
        """Each file to its end; the last one stays ours."""
        while fds:
            self.close()
            self.fd, self.left = fds.pop(0), b""
            try:
                yield from self._read()
            except BaseException:
                for fd in fds:
                    os.close(fd)
                raise

    def _replaced(self) -> bool:
        try:
            now = os.stat(self.log)
        except FileNotFoundError:
            return False
        return self.fd < 0 or not os.path.samestat(now, os.fstat(self.fd))

    def _read(self) -> Iterator[bytes]:
        while self.fd >= 0 and (block := os.read(self.fd, BLOCK)):
            whole, _, self.left = (self.left + block).rpartition(b"\n")
            for record in whole.split(b"\n") if whole else ():
                self.records += 1
                yield record + b"\n"


def _starts(fds: Sequence[int], tail: int | None) -> list[int]:
    """Where to begin in each file so that ``tail`` lines come."""
    starts: list[int] = []
    wanted = tail
    for index, fd in reversed(list(enumerate(fds))):
        if wanted is None:
            starts.append(0)
            continue
        goes_on = index > 0 and _ends_in_a_line(fds[index - 1])
        start, found = _tail(fd, wanted, goes_on=goes_on)
        starts.append(start)
        wanted -= found
    return starts[::-1]


def _ends_in_a_line(fd: int) -> bool:
    """Whether its last record is a piece of a line whose end is not in this file."""
    size = os.fstat(fd).st_size
    text = os.pread(fd, TAIL_BLOCK, max(0, size - TAIL_BLOCK))
    begin = text.rfind(b"\n", 0, -1) + 1
    return text != b"" and _LINE_END.match(text, begin) is None


def _tail(fd: int, wanted: int, *, goes_on: bool) -> tuple[int, int]:
    """Where the last ``wanted`` lines begin and how many of them there are, read from the end:
    the time does not depend on the file's size. ``goes_on``: the file begins within a line,
    which counts as the former file's."""
    start = os.fstat(fd).st_size
    text, step = b"", TAIL_BLOCK
    begins: list[int] = []
    while start > 0 and len(begins) <= wanted:
        size = min(step, start)
        start -= size
        text = os.pread(fd, size, start) + text
        begins = _begins(text, whole=start == 0 and not goes_on)
        step *= 2
    chosen = begins[-wanted:] if wanted else []
    if goes_on and len(chosen) < wanted:
        return 0, len(chosen)
    return start + (chosen[0] if chosen else len(text)), len(chosen)


def _begins(text: bytes, *, whole: bool) -> list[int]:
    """Offsets at which the program's lines begin. The first record of a part of a file may be
    cut or continue a line, so there the first begin follows the first end."""
    begins = [0] if whole and text else []
    for match in _LINE_END.finditer(text):
        end = text.find(b"\n", match.end()) + 1
        if 0 < end < len(text):
            begins.append(end)
    return begins


class _Joined:
    """Puts pieces together to lines, each stream for itself."""

    def __init__(self) -> None:
        self._open: dict[bytes, tuple[bytes, list[bytes], int]] = {}

    def add(self, record: bytes) -> list[LogLine]:
        """The line that ``record`` completes, if any."""
        stamp, stream, tag, text = record.split(b" ", 3)
        if tag == b"F" and stream not in self._open:
            return [_line(stamp, stream, text)]
        first, pieces, size = self._open.get(stream, (stamp, [], 0))
        pieces.append(text if tag == b"F" else text[:-1])
        if tag == b"F" or size + len(text) > LONGEST_LINE:
            self._open.pop(stream, None)
            return [_line(first, stream, b"".join(pieces))]
        self._open[stream] = first, pieces, size + len(text)
        return []

    def rest(self) -> list[LogLine]:
        """Lines that never ended."""
        waiting, self._open = self._open, {}
        return [_line(stamp, name, b"".join(text)) for name, (stamp, text, _) in waiting.items()]


def _line(stamp: bytes, stream: bytes, text: bytes) -> LogLine:
    time = stamp.decode().replace("+00:00", "Z")
    return LogLine(time=time, stream=stream.decode(), text=text)
