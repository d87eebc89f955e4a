"""Specs for tests: written into a project `shop`, loaded and translated."""

from pathlib import Path
from textwrap import dedent

from reconciler.desired import Desired, desire
from runtime.api import ContainerKey, ContainerSpec
from specs.load import load


def read(folder: Path, text: str, **environ: str) -> Desired:
    """What the project in ``folder``/shop shall be, a few files lying beside its spec."""
    project = folder / "shop"
    project.mkdir(exist_ok=True)
    (project / "trueup.yaml").write_text(dedent(text))
    (project / "secrets.env").write_text("PW=hunter2\n")
    for name in ("site.tar", "base.tar", "profile.json"):
        (project / name).touch()
    return desire(load(project, environ).project, environ)


def key(name: str, replica: int = 1) -> ContainerKey:
    return ContainerKey(project="shop", name=name, replica=replica)


def container(folder: Path, fields: str, more: str = "") -> ContainerSpec:
    """The container `web` with these fields, written as a flow map without its braces."""
    text = f"containers: {{web: {{image: nginx:1.27, {fields}}}, db: {{image: mysql:8.4}}}}\n{more}"
    return read(folder, text).containers[key("web")]
