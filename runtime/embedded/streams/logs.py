"""A container's log as conmon keeps it (its driver k8s-file), read fast and followed.

A record is ``2026-11-24T04:31:07.900122830+00:00 stdout F text``: one per read of at most 8,192
bytes; P marks a piece of a line, F its end. Times are UTC because conmon is started so. Where
its size limit is reached conmon starts the file anew; what a start of the container found too
long was put aside as ``log.1``, what was that before as ``log.2``: they are read before ``log``.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
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
    for path in _files(log):
        with open(path, "rb", buffering=0) as file:
            for block in _blocks(file.fileno()):
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


def _files(log: Path) -> list[Path]:
    """What there is of it, the oldest part first."""
    numbers = (path.suffix[1:] for path in log.parent.glob(f"{log.name}.*"))
    aside = sorted((int(number) for number in numbers if number.isdigit()), reverse=True)
    paths = (*(log.with_name(f"{log.name}.{number}") for number in aside), log)
    return [path for path in paths if path.exists()]


def _blocks(fd: int) -> Iterator[bytes]:
    """Large blocks that end where a line of the program ends, as far as there are such ends."""
    left = b""
    while block := os.read(fd, BLOCK):
        block = left + block
        end = _end_of_line(block)
        if end:
            yield block[:end]
        left = block[end:]
    if left.endswith(b"\n"):
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
        files = _files(self.log)
        starts = _starts(files, tail)
        for path, start in zip(files, starts, strict=True):
            self._open(path)
            os.lseek(self.fd, start, os.SEEK_SET)
            yield from self._read()

    def more(self) -> Iterator[bytes]:
        """What came since; a file that conmon put in the place of ours is read after ours."""
        yield from self._read()
        if self._replaced():
            yield from self._read()  # written between the reading and the replacement
            self._open(self.log)
            yield from self._read()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _open(self, path: Path) -> None:
        self.close()
        self.left = b""
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

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


def _starts(files: list[Path], tail: int | None) -> list[int]:
    """Where to begin in each file so that ``tail`` lines come."""
    starts: list[int] = []
    wanted = tail
    for path in reversed(files):
        if wanted is None:
            starts.append(0)
            continue
        with open(path, "rb", buffering=0) as file:
            start, found = _tail(file.fileno(), wanted)
        starts.append(start)
        wanted -= found
    return starts[::-1]


def _tail(fd: int, wanted: int) -> tuple[int, int]:
    """Where the last ``wanted`` lines begin and how many of them there are, read from the end:
    the time does not depend on the file's size."""
    start = os.fstat(fd).st_size
    text, step = b"", TAIL_BLOCK
    begins: list[int] = []
    while start > 0 and len(begins) <= wanted:
        size = min(step, start)
        start -= size
        text = os.pread(fd, size, start) + text
        begins = _begins(text, whole=start == 0)
        step *= 2
    chosen = begins[-wanted:] if wanted else []
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
