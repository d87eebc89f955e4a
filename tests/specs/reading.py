"""Specs for tests: written into a folder, loaded, their problems as text."""

from collections.abc import Mapping
from pathlib import Path

from specs.load import Loaded, load
from specs.model.container import Container
from specs.problems import SpecErrors, render


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files below a folder; `shop/trueup.yaml` and the like."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def loaded(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Loaded:
    """What one `trueup.yaml` is read as."""
    write(folder, {"trueup.yaml": text})
    return load(folder, environ or {})


def container(
    folder: Path, fields: str, environ: Mapping[str, str] | None = None, more: str = ""
) -> Container:
    """The container `c` with these fields, written as a flow map without its braces."""
    text = f"containers: {{c: {{image: x, {fields}}}}}\n{more}"
    return loaded(folder, text, environ).project.containers["c"]


def problems(folder: Path, environ: Mapping[str, str] | None = None) -> str:
    """All problems of a folder's spec as they are shown, the folder's own name left out."""
    try:
        warnings = load(folder, environ or {}).warnings
    except SpecErrors as errors:
        return str(errors).replace(f"{folder}/", "")
    return "only warnings\n" + render(warnings).replace(f"{folder}/", "")


def refused(folder: Path, fields: str, environ: Mapping[str, str] | None = None) -> str:
    """The text of the first problem of a container with these fields."""
    write(folder, {"trueup.yaml": f"containers: {{c: {{image: x, {fields}}}}}\n"})
    try:
        load(folder, environ or {})
    except SpecErrors as errors:
        return errors.problems[0].text.removeprefix("container `c`, ")
    return "taken"
