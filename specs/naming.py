"""Which files a spec has, and what its project is called; light enough for every command."""

import os
import re
from typing import Final

from specs import document
from specs.files import FileRefused, Files
from specs.nodes import Map, Text
from specs.source import Source

MAIN_FILES: Final = ("trueup.yaml", "trueup.yml")
PARTS: Final = "trueup.d"
NAME_PATTERN: Final = r"[a-z0-9][a-z0-9_-]{0,62}"
NAME_RULE: Final = "small letters, digits, `_` and `-`, beginning with a letter or digit"


def project_name(path: str | os.PathLike[str]) -> str | None:
    """The project's name where it stands plainly in the spec's only file; None where it takes
    `load` to tell (variables, several files, a broken spec)."""
    main = main_file(os.fspath(path))
    if len(all_files(main)) > 1:
        return None
    try:
        read = document.read(Source(main, Files().text(os.path.abspath(main))))
    except FileRefused:
        return None
    if read.problems or not isinstance(read.root, Map):
        return None
    declared = read.root.get("project")
    if declared is None:
        return default_name(os.path.dirname(os.path.abspath(main))) or None
    plain = isinstance(declared, Text) and re.fullmatch(NAME_PATTERN, str(declared))
    return str(declared) if plain else None


def default_name(directory: str) -> str:
    """A folder's name made valid: small letters, other characters as `-`; empty if none is left."""
    base = os.path.basename(directory.rstrip("/")).lower()
    return re.sub(r"[^a-z0-9_-]", "-", base, flags=re.ASCII).strip("-_")[:63]


def main_file(path: str) -> str:
    """The spec's first file, as the user would name it."""
    if not os.path.isdir(path):
        return os.path.normpath(path)
    names = [os.path.normpath(os.path.join(path, name)) for name in MAIN_FILES]
    return next((name for name in names if os.path.lexists(name)), names[0])


def all_files(main: str) -> list[str]:
    """The main file and, if it is called `trueup.yaml`, the parts in `trueup.d/` by name."""
    folder = os.path.join(os.path.dirname(main), PARTS)
    if os.path.basename(main) not in MAIN_FILES or not os.path.isdir(folder):
        return [main]
    names = sorted(n for n in os.listdir(folder) if n.endswith((".yaml", ".yml")) and n[0] != ".")
    return [main, *(os.path.join(folder, name) for name in names)]
