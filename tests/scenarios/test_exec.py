"""`exec` and `top` as somebody at a terminal or in a script uses them."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import COMMAND
from tests.eventually import eventually
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.root

SPEC = """\
project: shop
containers:
  web:
    image: $busybox
    command: [sleep, "1000"]
    environment: {GREETING: hello}
    stop_signal: SIGKILL
  done:
    image: $busybox
    command: ["true"]
"""


@pytest.fixture(scope="module")
def shop(long_stage: Stage) -> Stage:
    """A project that stands for all tests here."""
    long_stage.make(SPEC)
    return long_stage


def words(stage: Stage, *arguments: str) -> list[str]:
    return [*stage.host.within, str(COMMAND), "--root", str(stage.trueup.root), "exec", *arguments]


def ran(stage: Stage, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `trueup exec`."""
    done = subprocess.run(
        words(stage, *arguments), capture_output=True, text=True, timeout=30, input=stdin
    )
    return done.returncode, done.stdout, done.stderr


# --- in a script ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        (["web", "true"], 0, ""),
        (["web", "sh", "-c", "echo out; exit 42"], 42, "out\n"),
        (["web", "sh", "-c", "kill -9 $$"], 137, ""),
        (["web", "ls", "-d", "/etc"], 0, "/etc\n"),
        (["shop/web", "sh", "-c", "echo $GREETING $PWD"], 0, "hello /\n"),
        (["-e", "GREETING=bye", "web", "sh", "-c", "echo $GREETING"], 0, "bye\n"),
        (["-w", "/tmp", "web", "pwd"], 0, "/tmp\n"),
        (["-u", "7:8", "web", "sh", "-c", "id -u; id -g"], 0, "7\n8\n"),
        (["-u", "7", "web", "sh", "-c", "echo $HOME"], 0, "/\n"),
        (["web", "nothing"], 127, ""),
        (["web", "/tmp"], 126, ""),
        (["-w", "/nowhere", "web", "true"], 126, ""),
        (["-u", "nobody-knows", "web", "true"], 1, ""),
        (["web"], 64, ""),
        (["-w", "tmp", "web", "true"], 64, ""),
        (["--no-such-option", "web", "true"], 64, ""),
    ],
)  # fmt: skip
def test_exit_codes_and_options(shop: Stage, arguments: list[str], code: int, out: str) -> None:
    found = ran(shop, *arguments)
    assert found[:2] == (code, out), found
    assert (found[2] == "") == (code in (0, 42, 137))
    assert "defect" not in found[2]


def test_only_i_gives_it_our_input(shop: Stage) -> None:
    assert ran(shop, "-i", "web", "cat", stdin="data\n") == (0, "data\n", "")
    assert ran(shop, "web", "cat", stdin="data\n") == (0, "", "")


def test_variables_from_a_file_and_from_us(
    shop: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "some.env"
    file.write_text("# words\nA=1\nB='two words'\nOURS\n")
    monkeypatch.setenv("OURS", "ours")
    script = "echo $A, $B, $OURS, ${GONE-unset}"
    given = ("--env-file", str(file), "-e", "A=9", "-e", "GONE")
    assert ran(shop, *given, "web", "sh", "-c", script)[1] == "9, two words, ours, unset\n"


def test_privileged_has_every_capability(shop: Stage) -> None:
    script = ("web", "sh", "-c", "grep CapEff /proc/self/status")
    few, many = (int(ran(shop, *o, *script)[1].split()[1], 16) for o in ((), ("--privileged",)))
    assert few & many == few != many


def test_what_cannot_be_looked_into(shop: Stage) -> None:
    code, _, said = ran(shop, "done", "true")
    assert (code, said.splitlines()[0]) == (1, "shop/done is not running")
    code, _, said = ran(shop, "wep", "true")
    assert (code, "did you mean `web`?" in said) == (1, True)


def _sleeper() -> Path | None:
    """Its folder in the host's /proc: seen from within, a group of v2 is the root."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ends meanwhile
            if (folder / "cmdline").read_bytes() == b"sleep\x0061\x00":
                return folder
    return None


def test_it_is_in_the_containers_cgroup_and_has_no_more_than_that(shop: Stage) -> None:
    own = Path(f"/proc/{shop.pid('web')}/cgroup").read_text()
    running = subprocess.Popen(words(shop, "web", "sleep", "61"))
    try:
        eventually(_sleeper)
        its = _sleeper()
        assert its is not None
        assert (its / "cgroup").read_text().count("/shop/") == own.count("/shop/")
    finally:
        running.terminate()
        running.wait()


def test_ctrl_c_in_a_script_ends_the_command(shop: Stage) -> None:
    script = "trap 'exit 3' INT; echo ready; while :; do usleep 10000; done"
    running = subprocess.Popen(words(shop, "web", "sh", "-c", script), stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 3
    finally:
        running.kill()
        running.communicate()


def test_detached(shop: Stage) -> None:
    assert ran(shop, "-d", "web", "sh", "-c", "usleep 100000; echo x >/tmp/made") == (0, "", "")
    eventually(lambda: ran(shop, "web", "cat", "/tmp/made")[1] == "x\n")


# --- at a terminal --------------------------------------------------------------------------


class Terminal:
    """A terminal of 33 rows and 77 columns that somebody uses."""

    def __init__(self, keyboard: int, fd: int) -> None:
        self.keyboard, self.fd, self.seen = keyboard, fd, b""
        self.resize(33, 77)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    def sees(self, text: str, seconds: float = 10) -> None:
        until = time.monotonic() + seconds
        while text.encode() not in self.seen:
            assert select.select([self.keyboard], [], [], until - time.monotonic())[0], self.seen
            self.seen += os.read(self.keyboard, 4096)

    def mode(self) -> list[object]:
        return termios.tcgetattr(self.fd)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    keyboard, fd = pty.openpty()
    yield Terminal(keyboard, fd)
    os.close(keyboard)
    os.close(fd)


@contextmanager
def at(terminal: Terminal, command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The command with this terminal as its own, as a shell would run it."""

    def own() -> None:
        os.setsid()
        fcntl.ioctl(terminal.fd, termios.TIOCSCTTY, 0)

    fd = terminal.fd
    process = subprocess.Popen(command, stdin=fd, stdout=fd, stderr=fd, preexec_fn=own)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_shell_at_a_terminal(shop: Stage, terminal: Terminal) -> None:
    before = terminal.mode()
    with at(terminal, words(shop, "-it", "web", "sh")) as process:
        terminal.sees("# ")
        terminal.type("stty size; tty; echo $TERM\n")
        terminal.sees("33 77\r\n/dev/pts/0\r\nxterm\r\n")
        assert terminal.mode() != before, "raw"
        terminal.resize(50, 120)
        terminal.type("usleep 200000; stty size\n")
        terminal.sees("50 120")
        terminal.type("sleep 1000\n")
        eventually(lambda: "sleep 1000" in shop.trueup("top", "web").stdout.partition("sh\n")[2])
        terminal.type("\x03")
        terminal.type("echo code $?\n")
        terminal.sees("code 130")
        terminal.type("exit 9\n")
        assert process.wait(10) == 9
    assert terminal.mode() == before


def test_a_terminal_is_as_before_when_exec_is_ended(shop: Stage, terminal: Terminal) -> None:
    before = terminal.mode()
    with at(terminal, words(shop, "-it", "web", "cat")) as process:
        eventually(lambda: terminal.mode() != before)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
    assert terminal.mode() == before


def test_a_killed_exec_hangs_the_terminal_of_its_command_up(
    shop: Stage, terminal: Terminal
) -> None:
    with at(terminal, words(shop, "-it", "web", "sh")) as process:
        terminal.sees("# ")
        terminal.type("sleep 4321\n")
        eventually(lambda: "sleep 4321" in shop.trueup("top", "web").stdout)
        process.kill()
        eventually(lambda: "sleep 4321" not in shop.trueup("top", "web").stdout)


def test_a_terminal_without_one_for_the_command(shop: Stage, terminal: Terminal) -> None:
    """It reads what is typed, and Ctrl-C ends it as it ends a program of the host."""
    before = terminal.mode()
    with at(terminal, words(shop, "-i", "web", "cat")) as process:
        terminal.type("typed\n")
        terminal.sees("typed\r\ntyped\r\n")
        terminal.type("\x03")
        assert process.wait(10) == 130
    assert terminal.mode() == before


def test_who_stops_reading_ends_the_command(shop: Stage) -> None:
    command = " ".join(words(shop, "web", "yes"))
    done = subprocess.run(["sh", "-c", f"{command} | head -1"], capture_output=True, timeout=20)
    assert done.stdout == b"y\n"
    eventually(lambda: "yes" not in shop.trueup("top", "web").stdout)


def test_a_terminal_is_asked_for_and_not_there(shop: Stage) -> None:
    code, _, said = ran(shop, "-it", "web", "sh")
    assert (code, said.splitlines()[0]) == (1, "the input device is not a TTY")


def test_a_terminal_for_output_alone(shop: Stage) -> None:
    assert ran(shop, "-t", "web", "sh", "-c", "tty; exit 5")[:2] == (5, "/dev/pts/0\n")


# --- top ------------------------------------------------------------------------------------


def test_top_shows_what_runs_in_it(shop: Stage) -> None:
    header, *rows = shop.trueup("top", "web").stdout.splitlines()
    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    (row,) = (row.split() for row in rows)
    assert (row[0], row[1], row[5], row[7:]) == (
        "root",
        str(shop.pid("web")),
        "?",
        ["sleep", "1000"],
    )
    assert re.fullmatch(r"\d\d:\d\d", row[4])
    assert re.fullmatch(r"\d\d:\d\d:\d\d", row[6])


def test_top_with_options_of_ps(shop: Stage) -> None:
    shown = shop.trueup("top", "web", "-o", "pid,comm").stdout.splitlines()
    assert [line.split() for line in shown] == [["PID", "COMMAND"], [str(shop.pid("web")), "sleep"]]
    assert shop.trueup("top", "web", "-o", "comm", code=1).stderr.startswith("the container's proc")
    assert shop.trueup("top", "done", code=1).stderr.startswith("shop/done is not running")
