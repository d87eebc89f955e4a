"""How commands that work on images reach registries: what a spec and the machine's file say."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import Usage
from reconciler.registries import Registries, known
from runtime.reference import DEFAULT_HOST, BadReference, has_host, parse

if TYPE_CHECKING:
    from runtime.api import RegistryAccess
    from specs.model.project import Project


def registries(spec: Path | None) -> "tuple[RegistryAccess, ...]":
    """How to reach them, as ``known_to`` says."""
    return known_to(spec).access


def known_to(spec: Path | None) -> Registries:
    """What ``spec`` says of registries, else the spec in this folder, and beneath it what the
    machine's file says. A spec that merely lies here may be broken. Raises ``SpecBroken``."""
    return known(_project(spec))


def registry_host(text: str | None) -> str:
    """The registry that somebody wants to log in to, without scheme and version of the protocol;
    none named: Docker Hub. Raises ``Usage``."""
    from runtime.credentials.hosts import namespace, registry

    host = (text or DEFAULT_HOST).rpartition("://")[2].partition("/")[0]
    probe = f"{host}/x"
    try:
        known = has_host(probe) and bool(parse(probe))
    except BadReference:
        known = False
    if not known:
        hint = "a registry is a host with a dot or a port, such as r.example or localhost:5000"
        raise Usage(f"`{text}` is no registry", hint)
    if text and namespace(text, host) != "":
        raise Usage(f"`{text}` is more than a registry", f"a login is for all of it: {host}")
    return registry(host)


def _project(spec: Path | None) -> "Project | None":
    from reconciler.spec import SpecBroken, read
    from specs.naming import main_file

    path = spec or Path()
    if spec is None and not os.path.exists(main_file(os.fspath(path))):
        return None
    try:
        return read(path).project
    except SpecBroken:
        if spec is not None:
            raise
        sys.stderr.write(
            "warning: the spec in this folder is broken; its `registries:` are not used\n"
        )
        return None
