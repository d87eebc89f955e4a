"""A container's process from launch to removal; what the engine calls.

Each verb takes the container's lock (``lock`` in its bundle) and gives it back; conmon's exit
command takes the same one, so a restart and a stop never meet. The wish is written before
anything is killed: an exit command that comes later reads it and leaves.
"""

import os
import re
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import msgspec

from runtime import durable
from runtime.api import Logging, Phase, RestartPolicy
from runtime.embedded import boot, cgroups
from runtime.embedded.paths import Paths
from runtime.embedded.process import conmon, joining, on_exit, run, strays
from runtime.embedded.process import intent as intents
from runtime.embedded.process import outcome as outcomes
from runtime.embedded.process import state as states
from runtime.embedded.process.identity import Identity, alive, identify, kill, wait
from runtime.embedded.process.intent import Intent, Want, Wish
from runtime.embedded.process.kept_log import KeptLog
from runtime.embedded.process.ociruntime import OciRuntime
from runtime.embedded.process.outcome import Outcome
from runtime.embedded.process.state import ProcessState

LOG_MAX = 10 << 20  # bytes
_EXEC_SEEN = 2.0  # seconds; a program on a slow disk may take longer, then nobody waits
_PATIENCE = 5.0  # seconds for an exit command to start a container; then it hangs
_SYSTEM_PYTHON = "/usr/bin/python3"
_REOPENED = 1.0  # seconds for conmon to begin a log anew, 1 ms as a rule
_MONITOR_ENDS = 5.0  # seconds for conmon to drain, write the exit file and run the exit command


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How a container's process is run: on a ``terminal``, with ``stdin`` open for clients, by
    another OCI runtime (absolute path, "" for the usual one), in namespaces of others' processes
    (pairs of kind and bundle)."""

    terminal: bool = False
    stdin: bool = False
    oci: str = ""
    logging: Logging = Logging()
    joins: tuple[tuple[str, Path], ...] = ()


class Supervisor(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of an instance."""

    paths: Paths
    oci: OciRuntime
    layout: cgroups.Layout
    log_max: int = LOG_MAX

    def launch(
        self, id: str, cgroup: str, policy: RestartPolicy, manner: Manner | None = None
    ) -> Identity:
        """Run the container whose ``config.json`` stands in its bundle and return its init.

        One that runs already only gets the wish to run. What an interrupted launch left is
        cleared first. Raises the faults of ``conmon.create`` and ``OciRuntime.start``, and
        then nothing runs.
        """
        bundle, manner = self.paths.bundle(id), manner or Manner()
        wish = Wish(want=Want.RUN, restart=policy)
        with self._locked(id, urgent=True):
            last = run.read_run(bundle)
            if last is not None and alive(last.init):
                intents.write_wish(bundle, wish)
                return last.init
            intent = self._next_intent(id, cgroup, manner)
            self._clear(bundle, intent)
            joining.join(bundle, manner.joins)
            intents.write(bundle, intent)
            intents.write_wish(bundle, wish)
            outcomes.forget(self.paths.container(id))
            try:
                return self._start(bundle, intent)
            except BaseException:
                self._clear(bundle, intent)
                self._keep_outcome(id, Want.STOP)
                raise

    def stop(self, id: str, number: int, grace: float, *, by_hand: bool = False) -> None:
        """End the container: signal ``number``, ``grace`` seconds, then SIGKILL to all of it.

        Its exit file stays to be read. One that does not run gets the wish only.
        Raises ``cgroups.Stuck``.
        """
        bundle, want = self.paths.bundle(id), Want.HELD if by_hand else Want.STOP
        self._wish(bundle, want)  # an exit command that waits for the lock leaves now
        with self._locked(id, urgent=True):
            intent = intents.read(bundle)
            self._wish(bundle, want)
            if intent is not None:
                self._end(bundle, intent, number, grace)
            self._keep_outcome(id, want)

    def discard(self, id: str, cgroup: str) -> None:
        """Kill what is left of the container and remove every trace of its process; the bundle's
        own files and its rootfs are the caller's. Works without the bundle, too.

        Raises ``cgroups.Stuck``.
        """
        bundle = self.paths.bundle(id)
        self._wish(bundle, Want.STOP)
        with self._locked(id, urgent=True):
            intent = intents.read(bundle) or self._next_intent(id, cgroup, Manner())
            self._clear(bundle, intent)

    def change(self, id: str, policy: RestartPolicy, logging: Logging | None = None) -> None:
        """Set the restart policy and the log's limits in place. The policy counts from the next
        exit on; a log that is too long is put aside now, and conmon has the new limit from the
        container's next start on."""
        bundle = self.paths.bundle(id)
        with self._locked(id):
            wish = intents.read_wish(bundle)
            if wish is not None:
                intents.write_wish(bundle, Wish(want=wish.want, restart=policy))
            intent = intents.read(bundle)
            if intent is not None and logging is not None:
                self._limit_log(bundle, intent, logging)

    def _limit_log(self, bundle: Path, intent: Intent, logging: Logging) -> None:
        most, files = self._log_limits(logging)
        wanted = msgspec.structs.replace(intent, log_max=most, log_files=files)
        if wanted == intent:
            return
        # The exit command reads these two: the next run goes by them.
        _write_command_line(bundle, wanted)
        intents.write(bundle, wanted)
        if not most:
            return
        log = on_exit.Log(intent.log, files)
        with log:
            log.trim()
            if Path(log.path).exists() and os.stat(log.path).st_size >= most:
                _begin_anew(bundle, log)

    def kept_log(self, id: str, logging: Logging) -> KeptLog:
        most, files = self._log_limits(logging)
        path = self.paths.container(id) / "log"
        return KeptLog(path=path, bundle=self.paths.bundle(id), most=most, files=files)

    def _log_limits(self, logging: Logging) -> tuple[int, int]:
        """Bytes of a file, 0 for no log, and files. Where nothing is said, what a start finds too
        long is kept aside once."""
        if logging.driver == "none":
            return 0, 1
        if logging.max_size is None:
            return self.log_max, max(2, logging.max_file)
        return logging.max_size, logging.max_file

    def state(self, id: str) -> ProcessState:
        """Where the container stands; reads files and /proc only, 0.2 ms."""
        return states.read(self.paths.bundle(id), self.paths.exits, self.oci, id)

    # --- starting ---------------------------------------------------------------------------

    def _next_intent(self, id: str, cgroup: str, manner: Manner) -> Intent:
        last = intents.read(self.paths.bundle(id))
        log_max, log_files = self._log_limits(manner.logging)
        return Intent(
            id=id,
            incarnation=last.incarnation + 1 if last else 1,
            oci=manner.oci or self.oci.program,
            oci_root=str(self.oci.root),
            exits=str(self.paths.exits),
            log=str(self.paths.container(id) / "log"),
            log_max=log_max,
            log_files=log_files,
            cgroup=cgroup,
            python=_python(),
            script=str(_script(self.paths.run)),
            terminal=int(manner.terminal),
            stdin=int(manner.stdin),
            joins=";".join(f"{kind}:{bundle}" for kind, bundle in manner.joins),
        )

    def _start(self, bundle: Path, intent: Intent) -> Identity:
        for folder in (Path(intent.exits), Path(intent.oci_root)):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = _write_command_line(bundle, intent)
        on_exit.rotate(intent.log, intent.log_max, intent.log_files)
        cgroups.prepare(self.layout, intent.cgroup)
        pid = conmon.create(bundle, argv, intent.id)
        init = identify(pid)
        if init is None:
            raise conmon.CreateFailed(intent.id, "its first process died before it was started")
        before, began = _executable(init), on_exit.file_clock()
        OciRuntime(program=intent.oci, root=Path(intent.oci_root)).start(intent.id)
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
        """What a stop or a failed launch leaves, for the time after a reboot; one that was not
        launched in this boot ended as it did in the last."""
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
        """It sleeps, waits for the lock that we hold, or hangs: it can be killed without harm."""
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
        half_made = half_made and self._was_launched(bundle, intent)
        if half_made:
            strays.end(bundle, spared=monitors if launched else [])
        cgroups.kill(self.layout, intent.cgroup)
        for monitor in monitors:
            if not wait(monitor, _MONITOR_ENDS):
                kill(monitor)
                wait(monitor, _MONITOR_ENDS)
        if half_made:
            strays.end(bundle, spared=[])
        OciRuntime(program=intent.oci, root=Path(intent.oci_root)).delete(intent.id)
        cgroups.remove(self.layout, intent.cgroup)
        (bundle / "restarter").unlink(missing_ok=True)

    def _was_launched(self, bundle: Path, intent: Intent) -> bool:
        """Whether anything can ever have worked on the bundle, or on one that is gone."""
        return (
            (bundle / "intent").exists()
            or boot.has_lost_bundle(self.paths, intent.id)
            or OciRuntime(program=intent.oci, root=Path(intent.oci_root)).knows(intent.id)
        )

    @contextmanager
    def _locked(self, id: str, *, urgent: bool = False) -> Iterator[None]:
        """Hold the container's lock; without a bundle nobody else can. ``urgent``: an exit command
        that has it for too long is killed, as its OCI runtime hangs. What it had started goes with
        what else is half made."""
        bundle = self.paths.bundle(id)
        if not bundle.exists():
            yield
            return
        lock, what = bundle / "lock", f"container {id[:12]}"
        with ExitStack() as held:
            while True:
                with suppress(durable.Locked):
                    held.enter_context(durable.lock(lock, what=what, timeout=_PATIENCE))
                    break
                if urgent and _restarts(bundle):
                    self._end_restarter(bundle)
            yield


def _begin_anew(bundle: Path, log: on_exit.Log) -> None:
    """Have a living conmon begin the log anew, and put aside what was in it."""
    before = on_exit.inode(log.path)
    log.settle()
    log.hold()
    log.prepare()
    if conmon.reopen_log(bundle):
        until = time.monotonic() + _REOPENED
        while on_exit.inode(log.path) == before and time.monotonic() < until:
            time.sleep(0.001)
        log.settle()
        log.hold()


def _write_command_line(bundle: Path, intent: Intent) -> list[str]:
    """conmon's, also for the exit command, which starts another one with it."""
    argv = conmon.command_line(bundle, intent)
    durable.write(bundle / "argv", "".join(f"{a}\0" for a in argv).encode(), sync=False)
    return argv


def _monitors(bundle: Path) -> list[Identity]:
    """conmon of the last start, and of one that was not finished."""
    last = run.read_run(bundle)
    found = {last.conmon if last else None, conmon.monitor_of(bundle)}
    return [monitor for monitor in found if monitor is not None and alive(monitor)]


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


def _restarts(bundle: Path) -> bool:
    """Whether the container's lock is held by an exit command."""
    restarter = run.read_restarter(bundle)
    with suppress(FileNotFoundError, ValueError):
        holder = int((bundle / "lock").read_text().partition(" ")[0])
        return restarter is not None and restarter.pid == holder
    return False


def _script(folder: Path) -> Path:
    """The exit command as a copy in ``folder``, named by its content: an upgrade or a move of
    trueup must not take it from containers that run."""
    text, digest = _script_text()
    copy = folder / f"on_exit-{digest}.py"
    if not copy.exists():
        durable.write(copy, text, sync=False)
    return copy


@cache
def _script_text() -> tuple[bytes, str]:
    text = Path(on_exit.__file__).read_bytes()
    return text, f"{zlib.crc32(text):08x}"


@cache
def _python() -> str:
    """The interpreter of the exit command: the system's, which outlives an upgrade or a move of
    ours. Else the one that runs us; through a venv's link it would look for the venv first."""
    version = re.fullmatch(r"python3\.(\d+)", Path(os.path.realpath(_SYSTEM_PYTHON)).name)
    if version and int(version[1]) >= 10 and os.access(_SYSTEM_PYTHON, os.X_OK):
        return _SYSTEM_PYTHON
    return os.path.realpath(sys.executable)
