"""An edit of one field of a running container, and what the kernel says before and after it.

Whether the process may stay is what the spec's model says of the field; what the edit does is
asked of the kernel, of the network or of the container itself. Where that shows only when the
time comes (a policy, a signal), the engine's record is asked, and the table says so.
"""

from dataclasses import dataclass

from tests.scenarios.facts import Fact


@dataclass(frozen=True, slots=True)
class Case:
    """``before`` and ``after`` are lines of YAML under the container, ``was`` and ``now`` what
    ``fact`` gives then; ``seen`` says in words where the fact comes from."""

    field: str
    before: str
    after: str
    seen: str
    fact: Fact
    was: str
    now: str
