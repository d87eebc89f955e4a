"""Passwords, fetched from where a spec says they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from specs.model.registry import SecretSource


class Missing(Exception):
    """A secret is not where the spec says; the text says why."""


def secret(source: "SecretSource", environ: Mapping[str, str]) -> str:
    """Raises ``Missing``."""
    if source.env is not None:
        if (value := environ.get(str(source.env))) is None:
            raise Missing(f"the variable {source.env} is not set")
        return text(value, f"the variable {source.env}")
    if source.file is not None:
        try:
            return Path(str(source.file)).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise Missing(f"{source.file}: {reason}") from error
    return text(str(source.value), "its text")


def text(value: str, what: str) -> str:
    """``value`` as it is. Raises ``Missing`` where it is made of bytes that are no text, as a
    variable may be: no registry could be told it."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Missing(f"{what} is not UTF-8") from error
    return value
