"""How a container ended last and what was wished for it, in its kept part: ``lib`` outlives the
boot, the bundle does not. So a completed job stays completed after a reboot and a held one held.

Three write it: the shell of conmon's exit command (where nothing shall come back, see
``conmon._GUARD``), ``on_exit.py``, and a stop or a failed launch. A launch removes it: what
runs when the power goes has no outcome. Only what was stopped by hand is synced; the rest may
be lost with a power cut in the same half minute, and is then an end that nobody saw.
"""

from contextlib import nullcontext, suppress
from pathlib import Path

import msgspec

from runtime import durable
from runtime.embedded.process.intent import Want
from runtime.errors import DiskFull

NAME = "outcome"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """``code`` is None when nobody saw the end, ``finished`` in seconds since the epoch, ``count``
    the restarts since the last launch."""

    want: Want
    code: int | None = None
    oom: bool = False
    finished: float | None = None
    count: int = 0


def read(kept: Path) -> Outcome | None:
    """The outcome in a container's kept part; None for none, and for a torn file."""
    path = kept / NAME
    try:
        facts = dict(line.split("=", 1) for line in path.read_text().split("\n") if line)
        # The shell writes no time: that of the file is the same.
        facts.setdefault("finished", str(path.stat().st_mtime))
        facts = {name: value for name, value in facts.items() if value}
        return msgspec.convert(facts, Outcome, strict=False)
    except (FileNotFoundError, ValueError):
        return None


def write(kept: Path, outcome: Outcome) -> None:
    """Replace it; without the kept part there is nothing to tell of. On a full disk only what a
    hand did is insisted on. Raises ``DiskFull``."""
    facts = {**msgspec.to_builtins(outcome), "oom": int(outcome.oom)}
    lines = (f"{name}={'' if value is None else value}\n" for name, value in facts.items())
    if kept.is_dir():
        by_hand = outcome.want is Want.HELD
        with nullcontext() if by_hand else suppress(DiskFull):
            durable.write(kept / NAME, "".join(lines).encode(), sync=by_hand)


def forget(kept: Path) -> None:
    (kept / NAME).unlink(missing_ok=True)
