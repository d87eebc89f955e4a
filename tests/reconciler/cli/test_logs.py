"""logs: bytes to a pipe as they are, text to a terminal, both streams apart."""

import sys
from pathlib import Path

import pytest

from runtime.api import LogLine
from tests.reconciler.cli.conftest import World

LINES = (
    LogLine(time="2026-11-24T09:00:00.000000001Z", stream="stdout", text=b"up \x1b[32mok\x1b[0m\n"),
    LogLine(time="2026-11-24T09:00:01.000000002Z", stream="stderr", text=b"bad \xff\n"),
    LogLine(time="2026-11-24T09:00:02.000000003Z", stream="stdout", text=b"end"),
)


@pytest.fixture
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int | None, bool]]:
    """Has the web container say LINES; what the runtime was asked for is noted."""
    seen: list[tuple[int | None, bool]] = []

    def logs(_id: str, *, tail: int | None, follow: bool) -> list[LogLine]:
        seen.append((tail, follow))
        return list(LINES if tail is None else LINES[len(LINES) - tail :])

    monkeypatch.setattr(world.runtime, "logs", logs)
    world.run("apply")
    return seen


def _ran(
    world: World, capfdbinary: pytest.CaptureFixture[bytes], *words: str
) -> tuple[bytes, bytes]:
    """Both streams as bytes: the container's bytes need not be text."""
    from reconciler.cli.main import main

    capfdbinary.readouterr()
    assert main(["--root", str(world.root), "logs", *words]) == 0
    sys.stderr.flush()
    seen = capfdbinary.readouterr()
    return seen.out, seen.err


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """As elsewhere, but with the streams of the process, which have bytes."""
    from reconciler.cli.main import main
    from tests.fake_runtime import FakeRuntime
    from tests.reconciler.cli.conftest import SPEC, Ran

    runtime = FakeRuntime()
    monkeypatch.setattr("reconciler.cli.console.open_runtime", lambda _root: runtime)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (tmp_path / "trueup.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"

    def run(*words: str) -> Ran:
        return Ran(code=main(["--root", str(root), *words]), out="", err="")

    return World(folder=tmp_path, root=root, runtime=runtime, run=run)


def test_a_pipe_gets_the_bytes_of_each_stream(
    capfdbinary: pytest.CaptureFixture[bytes], world: World, asked: list[tuple[int | None, bool]]
) -> None:
    out, err = _ran(world, capfdbinary, "web")
    assert (out, err) == (b"up \x1b[32mok\x1b[0m\nend", b"bad \xff\n")
    assert _ran(world, capfdbinary, "--tail", "1", "-f", "shop/web") == (b"end", b"")
    assert asked == [(None, False), (1, True)]


def test_timestamps_stand_before_each_line(
    capfdbinary: pytest.CaptureFixture[bytes], world: World, asked: list[tuple[int | None, bool]]
) -> None:
    stamp = b"2026-11-24T09:00:02.000000003Z end"
    assert _ran(world, capfdbinary, "-t", "web")[0].endswith(stamp)
    assert _ran(world, capfdbinary, "-t", "-n", "1", "web")[0] == stamp


def test_a_terminal_gets_control_characters_as_text_unless_raw(
    capfdbinary: pytest.CaptureFixture[bytes],
    world: World,
    asked: list[tuple[int | None, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reconciler.views.terminal.is_terminal", lambda _stream: True)
    out, err = _ran(world, capfdbinary, "web")
    assert (out, err) == (b"up \\x1b[32mok\\x1b[0m\nend", b"bad \\xff\n")
    assert _ran(world, capfdbinary, "--raw", "web")[0] == b"up \x1b[32mok\x1b[0m\nend"


def test_who_keeps_no_log_is_not_taken_for_silent(
    capfdbinary: pytest.CaptureFixture[bytes], world: World, asked: list[tuple[int | None, bool]]
) -> None:
    quiet = "project: shop\ncontainers: {web: {image: nginx, logging: {driver: none}}}\n"
    world.spec.write_text(quiet)
    world.run("apply")
    _, err = _ran(world, capfdbinary, "-n", "0", "web")
    assert err == b"note: shop/web keeps no log: its `logging` has driver none\n"
    assert asked == [(0, False)]
