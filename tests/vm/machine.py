"""A virtual machine: qemu without KVM's help or a network, and a line to the agent inside.

Whatever happens, the process ends with the `with` block, by its pid, or with us if we are killed.
"""

import base64
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.images.registry import WITH_US
from tests.vm.disk import Disk

MEMORY = "3072"  # MiB
BOOT_SECONDS = 300.0
OFF_SECONDS = 60.0
KERNEL_WORDS = "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0"


class Failed(Exception):
    """The machine did not do what it was told; the message holds what it wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a script inside printed (stdout and stderr) and its exit code."""

    output: str
    code: int


@dataclass(slots=True, kw_only=True)
class Machine:
    """A machine that runs. One script runs at a time."""

    line: socket.socket
    console: Path
    boot_id: str = ""
    _rest: bytes = b""
    _seen: list[str] = field(default_factory=list)

    def run(
        self,
        script: str,
        *,
        code: int | None = 0,
        seconds: float = 60.0,
        show: Callable[[str], object] | None = None,
    ) -> str:
        """Run a shell script as root; its output. Any exit code but ``code`` fails (None: all
        will do). ``show`` gets each line when it comes."""
        self._send(script)
        done = self._answer(script, time.monotonic() + seconds, show)
        if code not in (None, done.code):
            raise Failed(f"$ {script}\nexit {done.code}, expected {code}\n{done.output}")
        return done.output

    def reboot(self) -> float:
        """Reboot as an administrator does; the seconds until it takes scripts again."""
        began, before = time.monotonic(), self.boot_id
        self._send("systemctl reboot")
        self.await_boot()
        if self.boot_id == before:
            raise Failed("the machine did not reboot")
        return time.monotonic() - began

    def power_off(self) -> None:
        """Begin to power off; qemu ends when it is done."""
        self._send("systemctl poweroff")

    def await_boot(self) -> None:
        """Until the agent says its first word."""
        end = time.monotonic() + BOOT_SECONDS
        while not (line := self._line(end, "the machine to boot")).startswith("+"):
            pass
        self.boot_id = line[1:]

    def _send(self, script: str) -> None:
        self.line.sendall(base64.b64encode(script.encode()) + b"\n")

    def _answer(self, script: str, end: float, show: Callable[[str], object] | None) -> Done:
        lines: list[str] = []
        while not (
            line := self._line(end, f"the end of: {script}\n" + "\n".join(lines))
        ).startswith("="):
            if line.startswith("+"):
                raise Failed(f"the machine rebooted during: {script}")
            if line:
                lines.append(line[1:])
                if show:
                    show(line[1:])
        return Done(output="".join(f"{each}\n" for each in lines), code=int(line[1:]))

    def _line(self, end: float, what: str) -> str:
        """The next line of the agent; ``Failed`` when none comes before ``end``."""
        while b"\n" not in self._rest:
            self.line.settimeout(max(end - time.monotonic(), 0.001))
            try:
                more = self.line.recv(65536)
            except TimeoutError:
                raise Failed(f"gave up waiting for {what}\n{self._last_words()}") from None
            if not more:
                raise Failed(f"the machine ended while waiting for {what}\n{self._last_words()}")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def _last_words(self) -> str:
        return "console:\n" + self.console.read_text(errors="replace")[-2000:]


@contextmanager
def started(disk: Disk, payload: Path, folder: Path) -> Iterator[Machine]:
    """A machine on ``disk``, booted; ``payload`` is its second disk. Writes go to a snapshot in
    ``folder`` that outlives reboots. Powered off at the end of the block."""
    door, console = folder / "line", folder / "console"
    process = subprocess.Popen(
        [*WITH_US, *_command(disk, payload, door, console)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    try:
        with _connected(door, process) as line:
            machine = Machine(line=line, console=console)
            machine.await_boot()
            yield machine
            machine.power_off()
            process.wait(OFF_SECONDS)
    finally:
        process.kill()
        process.wait()


def _command(disk: Disk, payload: Path, door: Path, console: Path) -> list[str]:
    """qemu's words: two processors, two disks, chance, a line, and nothing else. Without KVM even
    where there is one: where it is nested it may hang."""
    return [
        "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-smp", "2", "-m", MEMORY,
        "-display", "none", "-nodefaults", "-nic", "none",
        "-kernel", str(disk.kernel), "-initrd", str(disk.initrd), "-append", KERNEL_WORDS,
        "-drive", f"file={disk.root},format=raw,if=virtio,snapshot=on",
        "-drive", f"file={payload},format=raw,if=virtio,readonly=on",
        "-device", "virtio-rng-pci",
        "-serial", f"file:{console}",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=line,path={door},server=on,wait=off",
        "-device", "virtserialport,chardev=line,name=trueup",
    ]  # fmt: skip


@contextmanager
def _connected(door: Path, process: "subprocess.Popen[bytes]") -> Iterator[socket.socket]:
    end = time.monotonic() + 10
    with socket.socket(socket.AF_UNIX) as line:
        while True:
            try:
                line.connect(str(door))
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise Failed(f"qemu did not start: exit code {process.poll()}") from None
                time.sleep(0.02)
        yield line
