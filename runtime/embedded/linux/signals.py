"""Signals by name or number, as people write them; signal(7)."""

import signal

from runtime.errors import Fault


class UnknownSignal(Fault):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"there is no signal {name}",
            hint="see `kill -l`; SIGTERM, TERM and 15 are the same one",
        )


def signal_number(name: str) -> int:
    """``SIGTERM``, ``TERM``, ``15`` → 15. Raises ``UnknownSignal``."""
    if name.isdigit() and 0 < int(name) <= signal.SIGRTMAX:
        return int(name)
    upper = name.upper()
    full = upper if upper.startswith("SIG") else f"SIG{upper}"
    base, sign, offset = full.partition("+")
    try:
        return signal.Signals[base].value + (int(offset) if sign else 0)
    except (KeyError, ValueError) as error:
        raise UnknownSignal(name) from error
