"""`logging`: where the output goes, and how much of it is kept."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from specs.fields import Effect, Spec, about
from specs.notations import count, either, scalar
from specs.problems import nearest_word
from specs.scalars import Unreadable, parse_bytes

_IN_PLACE: Final = Effect.IN_PLACE
_FILES: Final = {"json-file", "local", "k8s-file", "file"}
_OTHERS: Final = {
    "awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "loki", "passthrough", "splunk",
    "syslog",
}  # fmt: skip
_SMALLEST: Final = 4096


class LogDriver(StrEnum):
    """Where output goes."""

    FILE = "file"
    NONE = "none"


def _driver(text: str) -> LogDriver:
    """Drivers that write files here mean one and the same."""
    if text in _FILES:
        return LogDriver.FILE
    if text == LogDriver.NONE:
        return LogDriver.NONE
    near = nearest_word(text, _FILES | {"none"}) if text not in _OTHERS else ""
    reason = "is not carried out yet" if text in _OTHERS else "is not a log driver"
    raise Unreadable("json-file, local or none", reason=reason, nearest=near)


def _size(text: str) -> int | None:
    """Bytes of one file; None for -1, the engine's default."""
    if text == "-1":
        return None
    size = parse_bytes(text)
    if size < _SMALLEST:
        raise Unreadable("4k at least", reason="is too little for a log")
    return size


class LogOptions(Spec):
    """Options of the driver."""

    noun: ClassVar[str] = "`options`"
    not_yet: ClassVar[frozenset[str]] = frozenset(
        {"compress", "env", "env-regex", "labels", "labels-regex", "max-buffer-size", "mode", "tag"}
    )
    renamed: ClassVar[Mapping[str, str]] = {"size": "max-size", "files": "max-file"}

    max_size: Annotated[
        int | None, *scalar(_size, "a size such as 10m", either("integer", "10m"), int)
    ] = about(
        "Most bytes of one file; none: the engine's default.",
        _IN_PLACE,
        default=None,
        validation_alias="max-size",
    )
    max_file: Annotated[int, *count(1, 1000)] = about(
        "Files that are kept, the current one included.",
        _IN_PLACE,
        default=1,
        validation_alias="max-file",
    )


class Logging(Spec):
    """Where the output goes."""

    noun: ClassVar[str] = "`logging`"

    driver: Annotated[
        LogDriver, *scalar(_driver, "json-file, local or none", {"type": "string"}, LogDriver)
    ] = about(
        "`json-file` and `local` both write the engine's own files; `none` keeps nothing.",
        _IN_PLACE,
        default=LogDriver.FILE,
    )
    options: LogOptions = about("How much is kept.", _IN_PLACE, default_factory=LogOptions)
