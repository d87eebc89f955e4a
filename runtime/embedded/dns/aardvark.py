"""The DNS server of the instance: one aardvark-dns in the router, for all networks.

Its files are renamed into place and it is told by SIGHUP. A live process proves nothing (one
bad file leaves it running and deaf), so after a change every gateway is asked for a name that
only the new file knows, and a server that does not answer is started anew.
"""

import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from pathlib import Path

from runtime import programs
from runtime.embedded.dns import zones
from runtime.embedded.linux import pidfd
from runtime.embedded.linux.namespaces import inside
from runtime.errors import Fault

PROGRAM = "aardvark-dns"
PORT = 53
_PID_FILE = "aardvark.pid"
_RELOAD_SECONDS, _START_SECONDS = 0.25, 3.0


class DnsSilent(Fault):
    """The DNS server does not answer although it was started anew."""

    def __init__(self, gateways: list[str]) -> None:
        self.gateways = gateways
        super().__init__(
            "the DNS server of the containers does not answer",
            why=f"{PROGRAM} was started but is silent on {', '.join(gateways)}",
            hint="run the same command again; if it stays so, look for its lines in syslog",
        )


class Server:
    """The server whose files are in ``folder``; ``router`` is the namespace it lives in."""

    def __init__(self, folder: Path, router: Path) -> None:
        self._folder, self._router = folder, router

    @property
    def _config(self) -> Path:
        return self._folder / "zones"

    def serve(self, wanted: Mapping[str, str]) -> None:
        """Make the server answer exactly ``wanted`` (file name to text), whatever it does now.

        Does nothing when it does. Raises ``DnsSilent``.
        """
        if not wanted:
            self.stop()
            return
        pid = self._pid()
        changed = self._write(wanted)
        if pid is not None and changed:
            os.kill(pid, signal.SIGHUP)
        if pid is not None and not self.silent(wanted, _RELOAD_SECONDS):
            return
        self._restart()
        if silent := self.silent(wanted, _START_SECONDS):
            raise DnsSilent(silent)

    def causes(self, wanted: Mapping[str, str]) -> list[str]:
        """Say what is wrong; reads only."""
        if not wanted:
            return []
        if self._pid() is None:
            return ["the DNS server is not running"]
        if any(self._read(name) != text for name, text in wanted.items()):
            return ["the names that DNS answers are not those of the services"]
        silent = self.silent(wanted, _RELOAD_SECONDS)
        return [f"the DNS server does not answer on {', '.join(silent)}"] if silent else []

    def silent(self, wanted: Mapping[str, str], seconds: float) -> list[str]:
        """Ask every gateway for its file's stamp until all answered; return who did not."""
        questions = {zones.gateway(zone): zones.stamp(zone) for zone in wanted.values()}
        try:
            return inside(self._router, lambda: _unanswered(questions, seconds))
        except FileNotFoundError:
            return sorted(map(str, questions))

    def stop(self) -> None:
        """End the server, also one that was forgotten, and drop its files. Idempotent."""
        self._kill_all()
        with suppress(FileNotFoundError):
            for folder in (self._config, self._folder):
                for file in folder.iterdir():
                    file.unlink()
                folder.rmdir()

    def _restart(self) -> None:
        self._kill_all()
        (self._config / _PID_FILE).unlink(missing_ok=True)
        line = [PROGRAM, "--config", str(self._config), "-p", str(PORT), "run"]
        # It returns when its child listens.
        inside(self._router, lambda: programs.run(line, timeout=10))

    def _write(self, wanted: Mapping[str, str]) -> bool:
        """Bring the files up to date; True when one changed."""
        self._config.mkdir(parents=True, exist_ok=True, mode=0o700)
        changed = False
        for name, text in wanted.items():
            if self._read(name) != text:
                # Not beside the others: the server reads every file of its folder.
                temporary = self._folder / f"{name}.new"
                temporary.write_text(text)
                temporary.rename(self._config / name)
                changed = True
        for file in self._config.iterdir():
            if file.name not in wanted and file.name != _PID_FILE:
                file.unlink()
                changed = True
        return changed

    def _read(self, name: str) -> str:
        try:
            return (self._config / name).read_text()
        except FileNotFoundError:
            return ""

    def _pid(self) -> int | None:
        """The running server, if it is ours and lives in the router of today."""
        try:
            pid = int((self._config / _PID_FILE).read_text())
            router = os.stat(self._router).st_ino
            if self._is_ours(pid) and os.stat(f"/proc/{pid}/ns/net").st_ino == router:
                return pid
        except (OSError, ValueError):
            pass
        return None

    def _is_ours(self, pid: int) -> bool:
        with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
            return os.fsencode(self._config) in words and PROGRAM.encode() in words[0]
        return False

    def _kill_all(self) -> None:
        for pid in list(self._servers()):
            if (handle := pidfd.of(pid)) is not None:
                pidfd.send(handle, signal.SIGKILL)
                pidfd.ended(handle, 2.0)
                os.close(handle)

    def _servers(self) -> Iterator[int]:
        for name in os.listdir("/proc"):
            if name.isdigit() and self._is_ours(int(name)):
                yield int(name)


def _unanswered(questions: Mapping[IPv4Address, str], seconds: float) -> list[str]:
    """Ask again every few milliseconds until ``seconds`` are over."""
    waiting = dict(questions)
    end = time.monotonic() + seconds
    pause = 0.002
    while True:
        answered = _ask_all(waiting, pause)
        waiting = {gateway: name for gateway, name in waiting.items() if gateway not in answered}
        if not waiting or time.monotonic() > end:
            return sorted(map(str, waiting))
        pause = min(pause * 2, 0.05)


def _ask_all(questions: Mapping[IPv4Address, str], seconds: float) -> set[IPv4Address]:
    """Ask all at once; who answers at most ``seconds`` later with the name's address is in."""
    answered: set[IPv4Address] = set()
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for gateway, name in questions.items():
            asking = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            asking.settimeout(0)
            with suppress(OSError):
                asking.bind(("127.0.0.1", 0))
                asking.connect((str(gateway), PORT))
                asking.send(_question(name))
                selector.register(asking, selectors.EVENT_READ, gateway)
        end = time.monotonic() + seconds
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if _is_answer(key.fileobj):
                    answered.add(key.data)
                selector.unregister(key.fileobj)
    return answered


def _question(name: str) -> bytes:
    """A query for the IPv4 address of a single label, RFC 1035 section 4."""
    label = name.encode()
    header = struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0)
    return header + bytes([len(label)]) + label + b"\0" + struct.pack(">HH", 1, 1)


def _is_answer(asking: object) -> bool:
    """Whether the server knows the name; silence and "refused" arrive as an error."""
    assert isinstance(asking, socket.socket)
    try:
        reply = asking.recv(65535)
    except OSError:
        return False
    return len(reply) > 12 and reply[3] & 0x0F == 0 and reply[6:8] != b"\0\0"
