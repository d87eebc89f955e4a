"""Sizes and times as Docker words them (docker/go-units), since everybody's eyes know them."""

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400
WEEK, MONTH, YEAR = 7 * DAY, 30 * DAY, 365 * DAY


def duration(seconds: float) -> str:
    """``About a minute``, ``3 hours``, ``2 weeks``; units.HumanDuration."""
    if seconds < 1:
        return "Less than a second"
    if seconds < MINUTE:
        return _count(int(seconds), "second")
    if seconds < 2 * MINUTE:
        return "About a minute"
    if seconds < HOUR:
        return _count(int(seconds // MINUTE), "minute")
    hours = int(seconds / HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return _count(hours, "hour")
    return _days(seconds)


def _days(seconds: float) -> str:
    hours = seconds // HOUR
    if seconds < 2 * WEEK:
        return _count(int(hours // 24), "day")
    if seconds < 2 * MONTH:
        return _count(int(hours // 24 // 7), "week")
    if seconds < 2 * YEAR:
        return _count(int(hours // 24 // 30), "month")
    return _count(int(hours // 24 // 365), "year")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ago(then: float, now: float) -> str:
    """``3 minutes ago``; both are seconds since the epoch."""
    return f"{duration(max(0.0, now - then))} ago"


def elapsed(seconds: float) -> str:
    """A measured time, exact where that is of use: ``0.31s``, ``12.4s``, ``3m05s``."""
    if seconds < 10:
        return f"{seconds:.2f}s"
    if seconds < 60:
        return f"{seconds:.1f}s"
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"


def decimal_size(size: float) -> str:
    """Disk and transfer sizes in powers of 1000: ``4.26MB``; units.HumanSizeWithPrecision(3)."""
    return _scaled(size, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB"), 3)


def binary_size(size: float) -> str:
    """Memory sizes in powers of 1024: ``512MiB``; units.BytesSize."""
    return _scaled(size, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 4)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    for unit in units[:-1]:
        if size < base:
            return f"{size:.{digits}g}{unit}"
        size /= base
    return f"{size:.{digits}g}{units[-1]}"


def timestamp(then: float) -> str:
    """``2026-11-24 08:34:05 +0000 UTC``, Docker's CreatedAt, always in UTC."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
