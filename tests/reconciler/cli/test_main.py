"""What every command line has in common: listing, wrong usage, errors and their status."""

import importlib
import subprocess
import sys
from errno import EIO, EROFS
from pathlib import Path
from types import SimpleNamespace

import pytest

from reconciler.cli import catalogue
from reconciler.cli.arguments import split
from reconciler.cli.main import main
from runtime.errors import Fault

TRUEUP = Path(sys.executable).with_name("trueup")


def test_alone_it_lists_every_command_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in catalogue.names():
        assert any(line.strip().startswith(f"{name} ") for line in lines), name
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", catalogue.names())
def test_each_listed_command_exists_and_has_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(importlib.import_module(catalogue.module(name)).run)
    assert main([name, "--help"]) == 0
    assert f"usage: trueup {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["appyl"], "trueup has no command `appyl`\n  did you mean `trueup apply`?"),
        (["up"], "trueup has no command `up`\n  did you mean `trueup apply`?"),
        (["stop", "web"], "trueup has no command `stop`\n  `trueup` alone lists them\n"),
        (["zzz"], "trueup has no command `zzz`\n  `trueup` alone lists them\n"),
        (["version", "--fromat=json"], "trueup version has no option --fromat=json\n  did you"),
        (["apply", "-q"], "trueup apply has no option -q\n  see `trueup apply --help`"),
        (["schema", "extra"], "`extra` is one argument too many"),
        (["--lock-timeout", "-1", "schema"], "argument --lock-timeout: `-1` is no time in seconds"),
        (["apply", "--timeout", "x"], "argument --timeout: `x` is no time in seconds; write it"),
        (["down", "--volumes", "a,"], "argument --volumes: `a,` holds an empty name"),
        (["logs", "-n", "x", "web"], "argument -n/--tail: `x` is no number of lines; write it"),
        (["ps", "-n", "1.5"], "argument -n/--last: `1.5` is no number of them; write it like 3"),
        (["--bogus"], "no command after --bogus"),
    ],
)
def test_wrong_usage_is_explained_and_leaves_with_64(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 64
    assert capsys.readouterr().err.startswith(message)


def test_global_options_stand_before_the_command_or_after_it() -> None:
    assert split(["--root", "ps", "ps", "-a"]) == (["--root", "ps"], "ps", ["-a"])
    assert split(["--root=/r", "ps"]) == (["--root=/r"], "ps", [])
    assert split(["ps", "--root", "/r"]) == ([], "ps", ["--root", "/r"])


def _command_that_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(_options: object) -> int:
        raise error

    module = importlib.import_module("reconciler.cli.schema")
    monkeypatch.setattr(module, "run", run)


def test_a_fault_tells_what_why_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _command_that_raises(monkeypatch, Fault("web failed", why="no \x1b[2Jspace", hint="free some"))
    assert main(["schema"]) == 1
    assert capsys.readouterr().err == "web failed: no \\x1b[2Jspace\n  free some\n"


def test_a_defect_is_one_line_that_names_the_file_with_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _command_that_raises(monkeypatch, KeyError("x"))
    assert main(["schema"]) == 1
    (report,) = tmp_path.iterdir()
    assert capsys.readouterr().err == (
        f"this is a defect of trueup (KeyError('x')): please report it with {report}\n"
    )
    assert "Traceback" in report.read_text()


def test_a_full_disk_is_no_defect() -> None:
    line = f"{TRUEUP} schema > /dev/full"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("no space left on the device that holds the output")
    assert "defect" not in done.stderr


@pytest.mark.parametrize(
    ("number", "why"), [(EROFS, "Read-only file system"), (EIO, "Input/output error")]
)
def test_a_device_that_fails_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, why: str
) -> None:
    _command_that_raises(monkeypatch, OSError(number, why, "/srv/lib/lock"))
    assert main(["schema"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"/srv/lib/lock cannot be read or written: {why}"
    assert "dmesg" in told[1]


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    _command_that_raises(monkeypatch, KeyboardInterrupt())
    assert main(["schema"]) == 130


def test_a_reader_that_left_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{TRUEUP} schema | true; {TRUEUP} | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_a_closed_stream_is_as_good_as_an_empty_one(
    tmp_path: Path, closed: tuple[int, ...]
) -> None:
    file = tmp_path / "file"
    tell = (
        f"open({str(file)!r}, 'w').write(str([os.readlink(f'/proc/self/fd/{{fd}}') for fd in F]))"
    )
    code = f"import os; from reconciler.cli.main import main; F={closed}; main(['schema']); {tell}"
    line = f'{sys.executable} -c "$0" ' + " ".join(f"{fd}>&-" for fd in closed)
    done = subprocess.run(["bash", "-c", line, code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert file.read_text() == str(["/dev/null" for _ in closed])


def test_every_import_of_main_is_cheap() -> None:
    heavy = "pydantic requests structlog pyroute2 watchfiles yaml msgspec typing dataclasses"
    code = f"import sys, reconciler.cli.main; print(set('{heavy}'.split()) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_version_is_that_of_the_distribution() -> None:
    import tomllib

    from reconciler.release import VERSION

    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert SimpleNamespace(**project).version == VERSION
