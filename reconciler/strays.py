"""Projects that were applied from a folder whose spec no longer names them: whoever renames a
project leaves the old one running, and should be told so; as should who names one that is not."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from specs.naming import project_name


def notes(project: str, folder: str, applied: Mapping[str, str]) -> tuple[str, ...]:
    """A note for each project but this one that was applied from ``folder`` and that no spec
    file there names; ``applied`` holds the folder of each project."""
    strays = sorted(name for name, place in applied.items() if place == folder and name != project)
    named = _named(Path(folder)) if strays else frozenset()
    return tuple(
        f"project {name} was applied from this folder and is still here;"
        f" `trueup down --project {name}` removes it; its volumes are not carried over"
        for name in strays
        if name not in named
    )


def unknown(project: str, applied: Mapping[str, str]) -> tuple[str, ...]:
    """A note for who names a project outright that is not here, lest a slip look like success."""
    if project in applied:
        return ()
    known = ", ".join(sorted(applied)) or "none"
    return (f"there is no project {project} here; those that are: {known}",)


def _named(folder: Path) -> frozenset[str]:
    """The projects of the folder's spec files, as far as they are told plainly."""
    return frozenset(name for name in map(project_name, _spec_files(folder)) if name)


def _spec_files(folder: Path) -> Iterator[Path]:
    yield folder
    if folder.is_dir():
        files = (each for each in sorted(folder.iterdir()) if each.suffix in (".yaml", ".yml"))
        # Without a `project:` every YAML file would be named after the folder.
        yield from (each for each in files if _declares(each))


def _declares(file: Path) -> bool:
    try:
        return "project:" in file.read_text(errors="replace")
    except OSError:
        return False
