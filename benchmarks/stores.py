"""Engines as keepers of images: what each calls pulling, saving, loading and forgetting."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from benchmarks.contestant import Ground
from benchmarks.ours import COMMAND
from tests import peers


class Store(Protocol):
    """One engine's images. Each verb returns when the command has ended."""

    name: str

    def pull(self, reference: str) -> None: ...

    def save(self, reference: str, archive: Path) -> None: ...

    def load(self, archive: Path) -> None: ...

    def forget(self) -> None:
        """Make the store empty."""

    def versions(self) -> Mapping[str, str]: ...

    def close(self) -> None: ...


class Trueup:
    name = "trueup"

    def __init__(self, ground: Ground) -> None:
        self._ground, self._root = ground, ground.folder / "root"

    def pull(self, reference: str) -> None:
        self._run("pull", "--quiet", reference)

    def save(self, reference: str, archive: Path) -> None:
        self._run("save", "--output", archive, reference)

    def load(self, archive: Path) -> None:
        self._run("load", "--input", archive)

    def forget(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)

    def versions(self) -> Mapping[str, str]:
        lines = self._run("version").splitlines()
        return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines if "  " in line)

    def close(self) -> None:
        self.forget()

    def _run(self, *words: str | Path) -> str:
        return self._ground.run(COMMAND, "--root", self._root, *words)


class _Peer:
    """docker and podman are told the same."""

    def __init__(self, engine: peers.Docker | peers.Podman) -> None:
        self._engine = engine

    def pull(self, reference: str) -> None:
        self._engine("pull", "--quiet", reference)

    def save(self, reference: str, archive: Path) -> None:
        self._engine("save", "--output", archive, reference)

    def load(self, archive: Path) -> None:
        self._engine("load", "--input", archive)

    def forget(self) -> None:
        if found := self._engine("images", "--quiet", "--no-trunc").split():
            self._engine("rmi", "--force", *sorted(set(found)))

    def close(self) -> None:
        self._engine.close()


class Docker(_Peer):
    name = "docker"

    def __init__(self, ground: Ground) -> None:
        super().__init__(peers.Docker(ground.host, ground.folder))

    def versions(self) -> Mapping[str, str]:
        return {"dockerd": self._engine("version", "--format", "{{.Server.Version}}").strip()}


class Podman(_Peer):
    name = "podman"

    def __init__(self, ground: Ground) -> None:
        super().__init__(peers.Podman(ground.host, ground.folder, ground.image.partition("/")[0]))

    def versions(self) -> Mapping[str, str]:
        return {"podman": self._engine("--version").split()[-1]}
