"""Plain texts: the spec's own ones carry their places."""

from collections.abc import Iterable, Mapping


def text(value: str | None) -> str | None:
    """The text without its place."""
    return None if value is None else str(value)


def texts(values: Mapping[str, str]) -> dict[str, str]:
    """Names with values."""
    return {str(key): str(value) for key, value in values.items()}


def words(values: Iterable[str]) -> tuple[str, ...]:
    """Words in their order."""
    return tuple(map(str, values))
