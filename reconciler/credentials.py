"""What a spec says of registries, with the passwords fetched from where it says they are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.api import RegistryAccess

if TYPE_CHECKING:
    from specs.model.project import Project
    from specs.model.registry import Registry, SecretSource


class _Missing(Exception):
    """A secret is not where the spec says; the text says why."""


def accesses(
    project: "Project", environ: Mapping[str, str] = os.environ
) -> tuple[RegistryAccess, ...]:
    """How to reach each registry of the spec, by host.

    A password that is not there is no error yet: `RegistryAccess.missing` tells of it when the
    registry asks for it.
    """
    return tuple(
        _access(project, str(host), registry, environ)
        for host, registry in sorted(project.registries.items())
    )


def _access(
    project: "Project", host: str, registry: "Registry", environ: Mapping[str, str]
) -> RegistryAccess:
    plain = RegistryAccess(host=host, insecure=registry.insecure)
    if registry.auth is None:
        return plain
    username = str(registry.auth.username)
    try:
        password = _secret(registry.auth.password, environ)
    except _Missing as missing:
        span = project.span("registries", host, "auth", "password")
        told = f"{missing} ({span.brief})" if span else str(missing)
        return msgspec.structs.replace(plain, username=username, missing=told)
    return msgspec.structs.replace(plain, username=username, password=password)


def _secret(source: "SecretSource", environ: Mapping[str, str]) -> str:
    """Raises ``_Missing``."""
    if source.env is not None:
        if (value := environ.get(str(source.env))) is None:
            raise _Missing(f"the variable {source.env} is not set")
        return value
    if source.file is not None:
        try:
            return Path(str(source.file)).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise _Missing(f"{source.file}: {reason}") from error
    return str(source.value)
