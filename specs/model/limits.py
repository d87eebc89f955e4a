"""Limits that the kernel holds a container to; what each number means, and what cannot work."""

from typing import Annotated, Final

from specs.notations import either, scalar
from specs.scalars import Unreadable, parse_bytes, parse_decimal, parse_integer, render_bytes

SMALLEST_MEMORY: Final = 6 << 20  # as Docker has it: less does not carry a process into its start
SMALLEST_CPUS: Final = 0.01  # a quota of 1 ms in 100 ms, the kernel's least
MOST_PIDS: Final = 4_194_304  # PID_MAX_LIMIT, proc(5)


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


MemoryLimit = Annotated[
    int, *scalar(_memory, "a size such as 512m", either("integer", "512m", "1.5g"), int)
]
Cpus = Annotated[float, *scalar(_cpus, "a number such as 0.5", either("number", 0.5), int, float)]
PidsLimit = Annotated[
    int, *scalar(_pids, "a whole number, -1 for no limit", either("integer", 100), int)
]
