"""Limits that the kernel holds a container to; what each number means, and what cannot work."""

import re
from typing import Annotated, Final

from specs.notations import count, either, scalar
from specs.scalars import (
    Unreadable,
    parse_bytes,
    parse_decimal,
    parse_duration,
    parse_integer,
    render_bytes,
)

SMALLEST_MEMORY: Final = 6 << 20  # as Docker has it: less does not carry a process into its start
SMALLEST_CPUS: Final = 0.01  # a quota of 1 ms in 100 ms, the kernel's least
MOST_PIDS: Final = 4_194_304  # PID_MAX_LIMIT, proc(5)
_CPUS: Final = re.compile(r"\d{1,5}(-\d{1,5})?", re.ASCII)
_CPUSET: Final = "processors such as 0-3 or 0,2"
_PERIOD: Final = "microseconds from 1000 to 1000000, or a duration such as 100ms"
_QUOTA: Final = "microseconds, 1000 at least, or -1 for no limit"


def _memory(text: str) -> int:
    size = parse_bytes(text)
    if size < SMALLEST_MEMORY:
        raise Unreadable(
            f"at least {render_bytes(SMALLEST_MEMORY)}", reason="is too little for a container"
        )
    return size


def _cpus(text: str) -> float:
    number = parse_decimal(text)
    if not SMALLEST_CPUS <= number <= 1 << 20:
        raise Unreadable("at least 0.01, which is a hundredth of one processor")
    return number


def _pids(text: str) -> int:
    """-1 and 0 mean unlimited, as in Docker; canonical is -1."""
    number = parse_integer(text)
    if number in (0, -1):
        return -1
    if not 1 <= number <= MOST_PIDS:
        raise Unreadable(f"a number from 1 to {MOST_PIDS}, or -1 for no limit")
    return number


def _swap(text: str) -> int:
    """Memory and swap together; -1 is unlimited."""
    return -1 if text == "-1" else parse_bytes(text)


def _shares(text: str) -> int:
    number = parse_integer(text)
    if not 2 <= number <= 262_144:
        raise Unreadable("a number from 2 to 262144, 1024 being the usual share")
    return number


def _cpuset(text: str) -> str:
    """The processors in the kernel's list form, without gaps between the parts."""
    compact = text.replace(" ", "")
    parts = compact.split(",")
    if not all(_CPUS.fullmatch(part) for part in parts):
        raise Unreadable(_CPUSET)
    bounds = [[int(number) for number in part.split("-")] for part in parts]
    if any(each[0] > each[-1] for each in bounds):
        raise Unreadable(_CPUSET, reason="has a range that ends before it begins")
    return compact


def _microseconds(text: str) -> int:
    """A period in microseconds; a duration is taken, too, as the Compose specification has it."""
    number = parse_integer(text) if text.isdigit() else _in_microseconds(text)
    if not 1_000 <= number <= 1_000_000:
        raise Unreadable(_PERIOD)
    return number


def _quota(text: str) -> int:
    number = parse_integer(text) if text.lstrip("-").isdigit() else _in_microseconds(text)
    if number != -1 and number < 1_000:
        raise Unreadable(_QUOTA)
    return number


def _in_microseconds(text: str) -> int:
    return round(parse_duration(text) * 1_000_000)


MemoryLimit = Annotated[
    int, *scalar(_memory, "a size such as 512m", either("integer", "512m", "1.5g"), int)
]
Cpus = Annotated[float, *scalar(_cpus, "a number such as 0.5", either("number", 0.5), int, float)]
PidsLimit = Annotated[
    int, *scalar(_pids, "a whole number, -1 for no limit", either("integer", 100), int)
]
Reservation = Annotated[
    int, *scalar(parse_bytes, "a size such as 256m", either("integer", "256m"), int)
]
SwapLimit = Annotated[
    int, *scalar(_swap, "a size such as 1g, -1 for no limit", either("integer", "1g"), int)
]
CpuShares = Annotated[int, *scalar(_shares, "a number from 2 to 262144", either("integer"), int)]
Cpuset = Annotated[str, *scalar(_cpuset, _CPUSET, either("integer", "0-3", "0,2"))]
CpuPeriod = Annotated[int, *scalar(_microseconds, _PERIOD, either("integer", 100_000), int)]
CpuQuota = Annotated[int, *scalar(_quota, _QUOTA, either("integer", 50_000), int)]
OomScore = Annotated[int, *count(-1000, 1000)]
