"""A tree of many projects: every folder below one that has a spec."""

import os

from specs.naming import MAIN_FILES, PARTS


def open_folders(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """The folders of a tree where a spec stands or may be put, as absolute paths; not those below
    a project's folder, where data of its containers may lie, but for the tree's own."""
    top = os.path.abspath(folder)
    found: list[str] = []
    for here, folders, files in os.walk(top):
        found.append(here)
        folders[:] = sorted(name for name in folders if name[0] != "." and name != PARTS)
        if here != top and any(name in files for name in MAIN_FILES):
            folders.clear()
    return tuple(sorted(found))


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
