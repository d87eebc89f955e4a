"""A tree of many projects: every folder below one that has a spec."""

import os

from specs.naming import MAIN_FILES, PARTS


def specs_below(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """The main files of all specs in a folder and below, by path.

    Hidden folders and links to folders are not entered: a checkout's own files are no specs, and a
    link may lead to what is somebody else's, or in a circle.
    """
    found: list[str] = []
    for here, folders, files in os.walk(os.fspath(folder)):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != PARTS)
        main = next((name for name in MAIN_FILES if name in files), None)
        if main is not None:
            found.append(os.path.normpath(os.path.join(here, main)))
    return tuple(sorted(found))
