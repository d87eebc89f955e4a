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
        return value
    if source.file is not None:
        try:
            return Path(str(source.file)).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise Missing(f"{source.file}: {reason}") from error
    return str(source.value)
