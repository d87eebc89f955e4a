"""The door to the files that a spec is made of: regular, small, UTF-8, or refused."""

import os
import re
import stat
from dataclasses import dataclass, field
from typing import Final

LARGEST: Final = 1 << 20

# Not printable by YAML 1.1, section 5.1; libyaml tells of it without line and column.
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufeff\uff00-\ufffd\U00010000-\U0010ffff]"
)


class FileRefused(Exception):
    """A file that cannot be part of a spec; `line` and `column` are 0 for the whole of it."""

    def __init__(
        self, reason: str, *, missing: bool = False, line: int = 0, column: int = 0
    ) -> None:
        self.reason = reason
        self.missing = missing
        self.line = line
        self.column = column
        super().__init__(reason)


@dataclass(slots=True)
class Files:
    """Reads files, and remembers which."""

    taken: list[str] = field(default_factory=list)

    def text(self, path: str) -> str:
        """The text of a regular file without its byte order mark; raises `FileRefused`."""
        data = _bytes(path)
        self.taken.append(path)
        return _decoded(data)


def _bytes(path: str) -> bytes:
    # Without O_NONBLOCK the open of a fifo would wait for a writer for ever.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        reason = "does not exist" if missing else f"cannot be read: {_words(error)}"
        raise FileRefused(reason, missing=missing) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileRefused("is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise FileRefused(f"cannot be read: {_words(error)}") from error
    finally:
        os.close(descriptor)
    if len(data) > LARGEST:
        raise FileRefused("is larger than 1 MiB")
    return data


def _words(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line, column = _place(before)
        raise FileRefused("is not UTF-8 here", line=line, column=column) from error


def check_printable(text: str) -> None:
    """Refuse control characters that YAML forbids, with their place."""
    if match := _UNPRINTABLE.search(text):
        line, column = _place(text[: match.start()])
        code = f"U+{ord(match.group()):04X}"
        raise FileRefused(
            f"holds the control character {code}, which YAML does not allow",
            line=line,
            column=column,
        )


def _place(before: str) -> tuple[int, int]:
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", before)
    return len(lines), len(lines[-1]) + 1


def is_below(path: str, directory: str) -> bool:
    """Whether a path, all links followed, is inside a directory."""
    real, root = os.path.realpath(path), os.path.realpath(directory)
    return real.startswith(root.rstrip("/") + "/")
