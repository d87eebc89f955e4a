"""How commands that work on images reach registries: what a spec says of them."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.api import RegistryAccess


def registries(spec: Path | None) -> "tuple[RegistryAccess, ...]":
    """What ``spec`` says of registries, else the spec in this folder: one that merely lies here
    may be broken. Raises ``SpecBroken``."""
    from reconciler.spec import SpecBroken
    from specs.naming import main_file

    path = spec or Path()
    if spec is None and not os.path.exists(main_file(os.fspath(path))):
        return ()
    try:
        return _accesses(path)
    except SpecBroken:
        if spec is not None:
            raise
        sys.stderr.write(
            "warning: the spec in this folder is broken; its `registries:` are not used\n"
        )
        return ()


def _accesses(path: Path) -> "tuple[RegistryAccess, ...]":
    from reconciler.credentials import accesses
    from reconciler.spec import read

    return accesses(read(path).project)
