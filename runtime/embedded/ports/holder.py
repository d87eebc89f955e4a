"""The process that keeps the reserved ports: a `sleep` with our sockets, 0.2 MB.

Sockets outlive us only in a process. When the ports change, a successor takes the old sockets
over (pidfd_getfd(2)) and adds the new ones, so that no kept port is free for a moment.
"""

import errno
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from runtime import durable, programs
from runtime.embedded.linux import pidfd, proc
from runtime.embedded.linux.libc import check, libc
from runtime.embedded.ports.claims import AddressNotHere, Claim, PortTaken, reserve
from runtime.embedded.ports.strangers import UNSEEN, taken
from runtime.errors import Fault

_PIDFD_GETFD = 438
# By this word in its environment a holder is found again that was started but not recorded.
_MARK = "TRUEUP_HOLDER"
_ON_ITS_WAY = 0.5  # seconds that one may need to be seen as ours


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A running holder: ``sockets`` leads claims to its file descriptors, or to -1 for an IPv6
    claim on a host without IPv6."""

    pid: int
    start: int
    sockets: Mapping[str, int] = {}


class Holder:
    """The holder of the instance whose record is the file ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def claims(self) -> set[Claim]:
        """What is reserved now; empty when no holder lives."""
        record = self._record()
        return {Claim.parse(text) for text in record.sockets} if record else set()

    def pid(self) -> int | None:
        record = self._record()
        return record.pid if record else None

    def missing(self, wanted: set[Claim]) -> set[Claim]:
        record = self._record()
        return {claim for claim in wanted if record is None or str(claim) not in record.sockets}

    def hold(self, wanted: set[Claim]) -> dict[Claim, Fault]:
        """Reserve exactly ``wanted``; return the claims that could not be had, each with its
        ``PortTaken`` or ``AddressNotHere``. Does nothing when all is reserved already."""
        record = self._record()
        texts = {str(claim) for claim in wanted}
        if record is not None and texts == set(record.sockets) and wanted:
            return {}
        self._end_strays(record)
        with ExitStack() as stack:
            kept = self._take_over(record, texts, stack)
            if record is not None and _in_own_way(record, texts):
                _end(record.pid)  # the sockets that are kept live in this process, too
            void, failures = _add(wanted, kept, stack)
            end = time.monotonic() + _ON_ITS_WAY
            while any(map(_may_be_ours, failures.values())) and time.monotonic() < end:
                time.sleep(0.02)
                self._end_strays(record)
                void, failures = _add(wanted, kept, stack)
            successor = self._start(kept, void)
            self._write(successor)
        if record is not None:
            _end(record.pid)
        return failures

    def release(self) -> None:
        """Let every port go. Idempotent."""
        record = self._record()
        self._end_strays(None)
        if record is not None:
            _end(record.pid)
        durable.remove(self._path)

    def _record(self) -> Record | None:
        try:
            found = json.loads(self._path.read_text())
            record = Record(pid=found["pid"], start=found["start"], sockets=found["sockets"])
        except (FileNotFoundError, ValueError, KeyError):
            return None
        return record if _start_time(record.pid) == record.start else None

    def _write(self, record: Record | None) -> None:
        if record is None:
            durable.remove(self._path)
            return
        text = json.dumps(
            {"pid": record.pid, "start": record.start, "sockets": dict(record.sockets)}
        )
        durable.write(self._path, text.encode(), sync=False)

    def _take_over(
        self, record: Record | None, texts: set[str], stack: ExitStack
    ) -> dict[str, socket.socket]:
        if record is None:
            return {}
        if (handle := pidfd.of(record.pid)) is None:
            return {}
        stack.callback(os.close, handle)
        kept = {}
        for text, fd in record.sockets.items():
            if text in texts and fd >= 0:
                taken_over = check(libc.syscall(_PIDFD_GETFD, handle, fd, 0), f"take over {text}")
                kept[text] = stack.enter_context(socket.socket(fileno=taken_over))
        return kept

    def _start(self, sockets: Mapping[str, socket.socket], void: set[str]) -> Record | None:
        if not sockets:
            return None
        fds = {text: one.fileno() for text, one in sockets.items()}
        process = programs.spawn(
            ["sleep", "infinity"],
            pass_fds=list(fds.values()),
            environment={**programs.ENVIRONMENT, _MARK: str(self._path)},
        )
        process.returncode = 0  # it shall outlive us: nobody waits for it
        start = _start_time(process.pid)
        assert start is not None
        return Record(pid=process.pid, start=start, sockets={**fds, **dict.fromkeys(void, -1)})

    def _end_strays(self, record: Record | None) -> None:
        """End holders of ours that nobody recorded: their starter died in between."""
        for pid in self._marked():
            if record is None or pid != record.pid:
                _end(pid)

    def _marked(self) -> Iterator[int]:
        mark = f"{_MARK}={self._path}".encode()
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    yield int(name)


def _in_own_way(record: Record, texts: set[str]) -> bool:
    """Whether a claim that goes keeps one that comes from being bound: the same port, but on
    another address."""
    going = {_port(text) for text in record.sockets if text not in texts}
    return any(_port(text) in going for text in texts if text not in record.sockets)


def _port(text: str) -> tuple[str, int]:
    claim = Claim.parse(text)
    return claim.protocol, claim.port


def _add(
    wanted: set[Claim], kept: dict[str, socket.socket], stack: ExitStack
) -> tuple[set[str], dict[Claim, Fault]]:
    """Bind what is not in ``kept`` and put it there; return what has nothing to bind, and what
    failed."""
    void: set[str] = set()
    failures: dict[Claim, Fault] = {}
    for claim in sorted(wanted):
        if str(claim) in kept:
            continue
        try:
            made = reserve(claim)
        except OSError as error:
            failures[claim] = _fault(claim, error)
            continue
        if made is None:
            void.add(str(claim))
        else:
            kept[str(claim)] = stack.enter_context(made)
    return void, failures


def _fault(claim: Claim, error: OSError) -> Fault:
    if error.errno == errno.EADDRINUSE:
        return taken(claim)
    if error.errno == errno.EADDRNOTAVAIL:
        return AddressNotHere(claim.address, claim.port, claim.protocol)
    raise error


def _may_be_ours(failure: Fault) -> bool:
    """Of a holder whose starter has just been killed nobody can tell that it is ours: before its
    exec it does not have the environment that says so."""
    return isinstance(failure, PortTaken) and failure.holder == UNSEEN


def _start_time(pid: int) -> int | None:
    """Clock ticks after boot; None for a process that ended."""
    found = proc.stat(pid)
    return None if found is None or found[0] in "ZX" else found[1]


def _end(pid: int) -> None:
    """Kill and wait until it ended; its sockets are free then."""
    if (handle := pidfd.of(pid)) is None:
        return
    try:
        pidfd.send(handle, signal.SIGKILL)
        pidfd.ended(handle, 2.0)
    finally:
        os.close(handle)
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
