"""Commands on a terminal of their own."""

import fcntl
import os
import pty
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from runtime.api import Stdio
from runtime.embedded.process import exec_terminal
from runtime.embedded.process.exec import ExecFailed
from runtime.embedded.streams import terminal
from tests.eventually import eventually
from tests.runtime.embedded.boxes import Box, Boxes, make_boxes
from tests.runtime.embedded.process.test_exec import further

pytestmark = pytest.mark.root


class Person:
    """Somebody at a terminal of 40 columns and 10 rows, whose other end is ``fd``."""

    def __init__(self) -> None:
        self.keyboard, self.fd = pty.openpty()
        self.resize(10, 40)
        self.seen = b""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self.keyboard, text)

    def sees(self, text: bytes) -> None:
        eventually(lambda: text in self.seen)

    def mode(self) -> list[object]:
        return termios.tcgetattr(self.fd)

    def leave(self) -> None:
        os.close(self.fd)
        self._reading.join(5)
        os.close(self.keyboard)

    def _read(self) -> None:
        try:
            while piece := os.read(self.keyboard, 4096):
                self.seen += piece
        except OSError:
            pass


@pytest.fixture
def person() -> Iterator[Person]:
    person = Person()
    yield person
    person.leave()


@pytest.fixture
def box(boxes: Boxes) -> Box:
    box = boxes.box("sleep", "1000")
    (box.bundle / "rootfs/bin/stty").symlink_to("busybox")
    (box.bundle / "rootfs/bin/tty").symlink_to("busybox")
    box.launch()
    return box


def ran(box: Box, person: Person, script: str, play: Callable[[], object] | None = None) -> int:
    """The exit code of a command at the person's terminal, while ``play`` runs in a thread."""
    stdio = Stdio(stdin=person.fd, stdout=person.fd, stderr=person.fd)
    rows, columns = terminal.size(stdio) or (0, 0)
    size = {"height": rows, "width": columns}
    wanted = further(box, "sh", "-c", script, terminal=True, consoleSize=size)
    thread = threading.Thread(target=play or (lambda: None))
    thread.start()
    with exec_terminal.started(wanted, box.bundle) as running:
        terminal.join(running.console, stdio, running.pidfd)
        code = running.wait()
    thread.join()
    return code


@contextmanager
def same_mode(person: Person) -> Iterator[None]:
    before = person.mode()
    yield
    assert person.mode() == before


def test_it_has_a_terminal_of_its_container_in_the_right_size(box: Box, person: Person) -> None:
    with same_mode(person):
        assert ran(box, person, "tty; stty size; exit 7") == 7
        person.sees(b"/dev/pts/0\r\n10 40\r\n")


def test_no_working_directory_leads_to_a_folder_of_the_host(box: Box) -> None:
    """By a link of the container's to what the OCI runtime has open (CVE-2024-21626)."""
    for fd in range(3, 16):
        (box.bundle / f"rootfs/link{fd}").symlink_to(f"/proc/self/fd/{fd}")
        wanted = further(box, "ls", "..", terminal=True, cwd=f"/link{fd}")
        with (
            pytest.raises(ExecFailed, match="chdir"),
            exec_terminal.started(wanted, box.bundle) as running,
        ):
            running.wait()


@pytest.mark.parametrize("program", ["crun", "runc"])
def test_exit_codes(program: str, person: Person) -> None:
    with make_boxes(program) as boxes:
        box = boxes.box("sleep", "1000")
        box.launch()
        before = sorted(os.listdir(box.bundle))
        assert ran(box, person, "exit 0") == 0
        assert ran(box, person, "exit 255") == 255
        assert ran(box, person, "kill -9 $$") == 137
        wanted = further(box, "nothing", terminal=True)
        with (
            pytest.raises(ExecFailed) as failed,
            exec_terminal.started(wanted, box.bundle),
        ):
            pass
        assert failed.value.exit_code == 127
        assert sorted(os.listdir(box.bundle)) == before


def test_keys_reach_the_command_and_the_mode_comes_back(box: Box, person: Person) -> None:
    def play() -> None:
        person.sees(b"ready")
        person.type(b"word\r")
        person.sees(b"<word>")
        person.type(b"\x03")

    script = "trap 'exit 5' INT; echo ready; read x; echo \"<$x>\"; while :; do usleep 10000; done"
    with same_mode(person):
        assert ran(box, person, script, play) == 5


def test_the_window_can_be_resized(box: Box, person: Person) -> None:
    def play() -> None:
        person.sees(b"ready")
        person.resize(50, 132)
        os.kill(os.getpid(), signal.SIGWINCH)  # the kernel tells whose terminal it is; not ours

    script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do usleep 10000; done"
    assert ran(box, person, script, play) == 0
    person.sees(b"50 132")


def test_the_end_comes_though_a_child_holds_the_terminal(box: Box, person: Person) -> None:
    began = time.monotonic()
    script = "trap '' HUP; (trap '' HUP; sleep 20) & echo left; exit 3"
    assert ran(box, person, script) == 3
    assert time.monotonic() - began < 5
    person.sees(b"left")


def test_the_last_words_come_whole(box: Box, person: Person) -> None:
    assert ran(box, person, "seq 20000; echo last") == 0
    person.sees(b"last")
    numbers = [f"{n}\r\n".encode() for n in range(1, 20001)]
    assert person.seen == b"".join([*numbers, b"last\r\n"])


def test_a_long_paste_and_a_long_answer_do_not_hold_each_other_up(box: Box, person: Person) -> None:
    text = b"x" * 1000 + b"\n"

    def play() -> None:
        person.sees(b"ready")
        for _ in range(200):
            person.type(text)
        person.type(b"\x04")

    script = "stty -echo -icanon min 1; echo ready; head -c 200200 | cat; echo over"
    assert ran(box, person, script, play) == 0
    person.sees(b"over")
    assert person.seen.count(b"x") == 200_000


def test_a_pipe_ends_as_a_terminal_ends(box: Box, person: Person) -> None:
    theirs, ours = os.pipe()
    os.write(ours, b"one\n")
    os.close(ours)
    stdio = Stdio(stdin=theirs, stdout=person.fd, stderr=person.fd)
    wanted = further(box, "sh", "-c", "stty -echo; cat; echo end", terminal=True)
    with exec_terminal.started(wanted, box.bundle) as running:
        terminal.join(running.console, stdio, running.pidfd)
        assert running.wait() == 0
    os.close(theirs)
    person.sees(b"end\r\r\n")  # a terminal that nobody types at is not made raw


def test_who_leaves_hangs_the_terminal_up(box: Box, person: Person) -> None:
    script = "trap 'echo up >/tmp/hung; exit' HUP; while :; do usleep 10000; done"
    wanted = further(box, "sh", "-c", script, terminal=True)
    with exec_terminal.started(wanted, box.bundle) as running:
        time.sleep(0.2)
    eventually((box.bundle / "rootfs/tmp/hung").exists)
    assert running.pid
    os.waitpid(running.pid, 0)
