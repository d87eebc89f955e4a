"""When an ended container comes back by itself: the restart policy, pure.

The rule itself stands in ``on_exit.next_delay``, as conmon's exit command cannot import us.
"""

import msgspec

from runtime.api import RestartPolicy
from runtime.embedded.process import on_exit
from runtime.embedded.process.intent import Want, Wish


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """It comes back, ``after`` seconds after its end."""

    after: float


class Leave(msgspec.Struct, frozen=True):
    """It stays as it is."""


def decide(
    wish: Wish, exit_code: int, *, restarts: int, ran_for: float, last_delay: float = 0.0
) -> Restart | Leave:
    """What follows an exit. ``restarts`` counts since the last launch, ``ran_for`` is the length
    of the ended run and ``last_delay`` what was waited before it, both in seconds."""
    if wish.want is not Want.RUN:
        return Leave()
    policy: RestartPolicy = wish.restart
    delay = on_exit.next_delay(
        policy.kind, policy.max_retries or 0, exit_code, restarts, ran_for, last_delay
    )
    return Leave() if delay is None else Restart(after=delay)
