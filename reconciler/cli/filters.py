"""``--filter KEY=VALUE``: which keys there are, and the values that many commands understand."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from reconciler.cli.arguments import Parser, Usage

_TRUE = ("1", "t", "true")
_FALSE = ("0", "f", "false")


def add_filter(parser: Parser, *flags: str, keys: Sequence[str]) -> None:
    """Docker's ``-f``, or only ``--filter``."""
    parser.add_argument(
        *flags,
        dest="filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"only those that fit: {', '.join(f'{key}=' for key in keys)}; may be given again",
    )


def read(
    given: Sequence[str],
    known: Sequence[str],
    words: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, list[str]]:
    """The values by their key; ``words`` are all that a key can have. Raises ``Usage``."""
    filters: dict[str, list[str]] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if key not in known or not equals:
            raise Usage(f"`{text}` is no filter", f"filters: {', '.join(f'{k}=…' for k in known)}")
        possible = (words or {}).get(key, (value,))
        if value not in possible:
            raise Usage(f"`{value}` is no {key}", f"known are: {', '.join(possible)}")
        filters.setdefault(key, []).append(value)
    return filters


def flag(value: str) -> bool:
    """``true`` or ``false``, in the forms of Go's flags. Raises ``Usage``."""
    if value.lower() in (*_TRUE, *_FALSE):
        return value.lower() in _TRUE
    raise Usage(f"`{value}` is neither true nor false", "write true or false")


def moment(value: str, now: float) -> float:
    """A time as Docker reads it, in seconds since the epoch: how long ago (``24h``, ``1h30m``), a
    date (``2026-11-28``, ``2026-11-28T10:00:00``, also with a zone), or seconds since the epoch.
    Raises ``Usage``."""
    from specs.scalars import Unreadable, parse_duration

    if re.fullmatch(r"\d+(?:\.\d+)?", value):
        return float(value)
    with suppress(Unreadable):
        return now - parse_duration(value)
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        hint = "write 24h, 2026-11-28T10:00:00 or seconds since the epoch"
        raise Usage(f"`{value}` is no time", hint) from None
    # Docker takes the zone of whoever asks.
    return (found if found.tzinfo else found.astimezone()).astimezone(UTC).timestamp()
