"""What a runtime finds of its host, for `doctor` and notes of plans."""

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"  # something that some specs ask for cannot be had
    BLOCKER = "blocker"  # nothing can run, or published ports cannot be reached


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at: ``subject`` as in ``cgroups``, ``text`` what was found, and
    ``commands`` that mend it, ready to be pasted into a root shell."""

    subject: str
    verdict: Verdict
    text: str
    commands: tuple[str, ...] = ()
