"""The command line in this process, on a runtime in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.cli.main import main
from tests.fake_runtime import FakeRuntime

SPEC = """\
project: shop
volumes:
  data: {}
containers:
  db:
    image: mysql:8.4
    volumes: ["data:/var/lib/mysql"]
  web:
    image: nginx:1.27
    ports: ["8080:80"]
    depends_on: [db]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command left: its status and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A folder with a spec, an instance root, and the runtime that plays the machine."""

    folder: Path
    root: Path
    runtime: FakeRuntime
    run: Callable[..., Ran]

    @property
    def spec(self) -> Path:
        return self.folder / "trueup.yaml"


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> World:
    runtime = FakeRuntime()
    monkeypatch.setattr("reconciler.cli.console.open_runtime", lambda _root: runtime)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("reconciler.executor.aftermath.MOMENT", 0.0)  # nothing ends by itself
    folder, root = tmp_path / "spec", tmp_path / "root"
    folder.mkdir()
    (folder / "trueup.yaml").write_text(SPEC)
    monkeypatch.chdir(folder)

    def run(*words: str) -> Ran:
        capsys.readouterr()
        code = main(["--root", str(root), *words])
        seen = capsys.readouterr()
        return Ran(code=code, out=seen.out, err=seen.err)

    return World(folder=folder, root=root, runtime=runtime, run=run)
