"""A container's process from launch to removal; what the engine calls.

Each verb takes the container's lock (``lock`` in its bundle) and gives it back; conmon's exit
command takes the same one, so a restart and a stop never meet. The wish is written before
anything is killed: an exit command that comes later reads it and leaves.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import msgspec

from runtime import durable
from runtime.api import Phase, RestartPolicy
from runtime.embedded import cgroups
from runtime.embedded.paths import Paths
from runtime.embedded.process import conmon, on_exit, run
from runtime.embedded.process import intent as intents
from runtime.embedded.process import outcome as outcomes
from runtime.embedded.process import state as states
from runtime.embedded.process.identity import Identity, alive, identify, kill, wait
from runtime.embedded.process.intent import Intent, Want, Wish
from runtime.embedded.process.ociruntime import OciRuntime
from runtime.embedded.process.outcome import Outcome
from runtime.embedded.process.state import ProcessState

LOG_MAX = 10 << 20  # bytes
_EXEC_SEEN = 2.0  # seconds; a program on a slow disk may take longer, then nobody waits
_MONITOR_ENDS = 5.0  # seconds for conmon to drain, write the exit file and run the exit command


class Supervisor(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of an instance."""

    paths: Paths
    oci: OciRuntime
    layout: cgroups.Layout
    log_max: int = LOG_MAX

    def launch(self, id: str, cgroup: str, policy: RestartPolicy) -> Identity:
        """Run the container whose ``config.json`` stands in its bundle and return its init.

        One that runs already only gets the wish to run. What an interrupted launch left is
        cleared first. Raises the faults of ``conmon.create`` and ``OciRuntime.start``, and
        then nothing runs.
        """
        bundle = self.paths.bundle(id)
        wish = Wish(want=Want.RUN, restart=policy)
        with self._locked(id):
            last = run.read_run(bundle)
            if last is not None and alive(last.init):
                intents.write_wish(bundle, wish)
                return last.init
            intent = self._next_intent(id, cgroup)
            self._clear(bundle, intent)
            intents.write(bundle, intent)
            intents.write_wish(bundle, wish)
            outcomes.forget(self.paths.container(id))
            try:
                return self._start(bundle, intent)
            except BaseException:
                self._clear(bundle, intent)
                raise

    def stop(self, id: str, number: int, grace: float, *, by_hand: bool = False) -> None:
        """End the container: signal ``number``, ``grace`` seconds, then SIGKILL to all of it.

        Its exit file stays to be read. One that does not run gets the wish only.
        Raises ``cgroups.Stuck``.
        """
        bundle = self.paths.bundle(id)
        with self._locked(id):
            intent = intents.read(bundle)
            self._wish(bundle, Want.HELD if by_hand else Want.STOP)
            if intent is not None:
                self._end(bundle, intent, number, grace)
            self._keep_outcome(id, Want.HELD if by_hand else Want.STOP)

    def discard(self, id: str, cgroup: str) -> None:
        """Kill what is left of the container and remove every trace of its process; the bundle's
        own files and its rootfs are the caller's. Works without the bundle, too.

        Raises ``cgroups.Stuck``.
        """
        bundle = self.paths.bundle(id)
        with self._locked(id):
            intent = intents.read(bundle) or self._next_intent(id, cgroup)
            self._clear(bundle, intent)

    def change(self, id: str, policy: RestartPolicy) -> None:
        """Set the restart policy in place; it counts from the next exit on."""
        bundle = self.paths.bundle(id)
        with self._locked(id):
            wish = intents.read_wish(bundle)
            if wish is not None:
                intents.write_wish(bundle, Wish(want=wish.want, restart=policy))

    def state(self, id: str) -> ProcessState:
        """Where the container stands; reads files and /proc only, 0.2 ms."""
        return states.read(self.paths.bundle(id), self.paths.exits, self.oci, id)

    # --- starting ---------------------------------------------------------------------------

    def _next_intent(self, id: str, cgroup: str) -> Intent:
        last = intents.read(self.paths.bundle(id))
        return Intent(
            id=id,
            incarnation=last.incarnation + 1 if last else 1,
            oci=self.oci.program,
            oci_root=str(self.oci.root),
            exits=str(self.paths.exits),
            log=str(self.paths.container(id) / "log"),
            log_max=self.log_max,
            cgroup=cgroup,
            python=_python(),
        )

    def _start(self, bundle: Path, intent: Intent) -> Identity:
        for folder in (Path(intent.exits), Path(intent.oci_root)):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = conmon.command_line(bundle, intent)
        durable.write(bundle / "argv", "".join(f"{a}\0" for a in argv).encode(), sync=False)
        on_exit.rotate(intent.log, intent.log_max)
        cgroups.prepare(self.layout, intent.cgroup)
        pid = conmon.create(bundle, argv, intent.id)
        init = identify(pid)
        if init is None:
            raise conmon.CreateFailed(intent.id, "its first process died before it was started")
        before, began = _executable(init), on_exit.file_clock()
        self.oci.start(intent.id)
        run.write_run(bundle, init, conmon.monitor_of(bundle), began)
        self._confirm(intent, init, before)
        return init

    def _confirm(self, intent: Intent, init: Identity, before: str) -> None:
        """Wait until init has become the container's program: the OCI runtime's success is no
        proof. Raises ``CommandNotRunnable`` when it died of that."""
        _await_other(init, before)
        if _executable(init):
            return
        place = self.paths.bundle(intent.id)
        ended = run.await_exit(place, self.paths.exits, intent.id, _EXEC_SEEN)
        if ended is not None and ended.code and (why := _exec_failure(Path(intent.log))):
            raise conmon.CommandNotRunnable(why)

    # --- ending -----------------------------------------------------------------------------

    def _end(self, bundle: Path, intent: Intent, number: int, grace: float) -> None:
        self._end_restarter(bundle)
        last = run.read_run(bundle)
        cgroups.thaw(self.layout, intent.cgroup)
        if last is not None and kill(last.init, number) and not wait(last.init, grace):
            cgroups.kill(self.layout, intent.cgroup)
        self._clear_processes(bundle, intent)

    def _keep_outcome(self, id: str, want: Want) -> None:
        """What a stop leaves, for the time after a reboot; one that was not launched in this boot
        ended as it did in the last."""
        kept, now = self.paths.container(id), self.state(id)
        if now.phase is Phase.CREATED:
            ended = outcomes.read(kept) or Outcome(want=want)
            outcomes.write(kept, msgspec.structs.replace(ended, want=want))
            return
        ended = Outcome(
            want=want,
            code=now.exit_code,
            oom=now.oom_killed,
            finished=now.finished_at,
            count=now.restarts,
        )
        outcomes.write(kept, ended)

    def _wish(self, bundle: Path, want: Want) -> None:
        wish = intents.read_wish(bundle)
        if wish is not None and wish.want is not want:
            intents.write_wish(bundle, Wish(want=want, restart=wish.restart))

    def _end_restarter(self, bundle: Path) -> None:
        """We hold the lock, so it sleeps or waits for it: it can be killed without harm."""
        waiting = run.read_restarter(bundle)
        if waiting is not None:
            kill(waiting)

    def _clear(self, bundle: Path, intent: Intent) -> None:
        """Nothing of the container runs or is known afterwards, its exit file included."""
        # An exit command that waits for our lock leaves now, and its conmon with it.
        self._wish(bundle, Want.STOP)
        self._end_restarter(bundle)
        self._clear_processes(bundle, intent)
        run.forget(bundle, Path(intent.exits), intent.id)

    def _clear_processes(self, bundle: Path, intent: Intent) -> None:
        """Kill what is in the cgroup (an OCI runtime that was killed leaves what its own state
        does not know), let conmon end, take the container from the OCI runtime."""
        monitors = _monitors(bundle)
        launched = run.read_run(bundle) is not None
        # Without a finished start somebody may have died in the midst of a create.
        half_made = not launched or run.read_restarter(bundle) is not None
        if half_made:
            _end_strays(bundle, spared=monitors if launched else [])
        cgroups.kill(self.layout, intent.cgroup)
        for monitor in monitors:
            if not wait(monitor, _MONITOR_ENDS):
                kill(monitor)
                wait(monitor, _MONITOR_ENDS)
        if half_made:
            _end_strays(bundle, spared=[])
        OciRuntime(program=intent.oci, root=Path(intent.oci_root)).delete(intent.id)
        cgroups.remove(self.layout, intent.cgroup)
        (bundle / "restarter").unlink(missing_ok=True)

    @contextmanager
    def _locked(self, id: str) -> Iterator[None]:
        """Hold the container's lock; without a bundle nobody else can."""
        bundle = self.paths.bundle(id)
        if not bundle.exists():
            yield
            return
        with durable.lock(bundle / "lock", what=f"container {id[:12]}"):
            yield


def _monitors(bundle: Path) -> list[Identity]:
    """conmon of the last start, and of one that was not finished."""
    last = run.read_run(bundle)
    found = {last.conmon if last else None, conmon.monitor_of(bundle)}
    return [monitor for monitor in found if monitor is not None and alive(monitor)]


def _end_strays(bundle: Path, spared: list[Identity]) -> None:
    """Kill what works on the bundle until there is nothing; whoever is killed may just have
    started another."""
    while strays := [stray for stray in _strays(bundle) if stray not in spared]:
        for stray in strays:
            kill(stray)
            wait(stray, _MONITOR_ENDS)


def _strays(bundle: Path) -> list[Identity]:
    """Processes that work on this bundle: conmon, or an OCI runtime or exit command whose conmon
    died, also when the bundle with its pid files is gone."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                command = Path(entry.path, "cmdline").read_bytes().split(b"\0")
                if _works_on(command, os.fsencode(bundle)):
                    found.append(identify(int(entry.name)))
    return [process for process in found if process is not None]


def _works_on(command: list[bytes], bundle: bytes) -> bool:
    """Whether the bundle stands where conmon, the OCI runtime or the exit command have it: others
    may name it, too, and are no business of ours."""
    if bundle not in command:
        return False
    before = command[command.index(bundle) - 1]
    return before in (b"-b", b"--bundle", os.fsencode(on_exit.__file__))


def _executable(init: Identity) -> str:
    """The program that the process executes, "" when it is dead or dying."""
    try:
        return os.readlink(f"/proc/{init.pid}/exe")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _await_other(init: Identity, before: str) -> None:
    """Wait until the process executes something else than ``before``, or nothing."""
    until = time.monotonic() + _EXEC_SEEN
    while _executable(init) == before and time.monotonic() < until:
        time.sleep(0.0005)


def _exec_failure(log: Path) -> str:
    """The OCI runtime's own last line in the log when it could not execute the program."""
    with suppress(FileNotFoundError), open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2].decode(errors="replace")
        _, _, text = last.partition(" stderr F ")
        if text.startswith(("exec container process", "exec ")):
            return text
    return ""


@cache
def _python() -> str:
    """The interpreter itself: through a venv's link it would look for the venv first."""
    return os.path.realpath(sys.executable)
