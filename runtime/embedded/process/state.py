"""Where a container's process stands, from the files of its bundle and /proc; it changes nothing.

The order of the questions matters: who lives is asked of the kernel first, then whether an
exit command waits, then what the exit file says.
"""

from pathlib import Path

import msgspec

from runtime.api import Phase, RestartPolicy
from runtime.embedded.process import intent as intents
from runtime.embedded.process import outcome as outcomes
from runtime.embedded.process import restart, run
from runtime.embedded.process.identity import alive, ran_for
from runtime.embedded.process.intent import Want, Wish
from runtime.embedded.process.ociruntime import OciRuntime

_EXIT_FILE = 0.05  # seconds from a death to its exit file, 2 ms as a rule


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle says of its process. ``monitor`` is whether conmon lives, ``want`` what was
    wished last (None: never launched), ``policy`` the restart policy at work; times are seconds
    since the epoch."""

    phase: Phase
    want: Want | None = None
    policy: RestartPolicy | None = None
    pid: int | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    started_at: float | None = None
    finished_at: float | None = None
    restarts: int = 0
    monitor: bool = False

    @property
    def held(self) -> bool:
        return self.want is Want.HELD

    @property
    def stopped(self) -> bool:
        return self.want is Want.STOP and self.phase is not Phase.RUNNING


def read(bundle: Path, exits: Path, oci: OciRuntime, id: str) -> ProcessState:
    """The state of the container with this bundle; ``exits`` has the exit files. 0.2 ms, and up
    to 50 ms in the moment of its death."""
    wish = intents.read_wish(bundle)
    last = run.read_run(bundle)
    if wish is None or last is None:
        return _unlaunched(oci, id, wish)
    state = ProcessState(
        phase=Phase.RUNNING,
        want=wish.want,
        policy=wish.restart,
        pid=last.pid,
        started_at=last.began,
        restarts=run.read_restarts(bundle).count,
        monitor=alive(last.conmon),
    )
    if alive(last.init):
        return state
    ended = run.await_exit(bundle, exits, id, _EXIT_FILE if state.monitor else 0.0)
    return _dead(bundle, state, wish, last, ended)


def remembered(kept: Path, *, bundled: bool) -> ProcessState:
    """Where a container stands that was not launched since the machine started. ``bundled``: it
    had a bundle in an earlier boot, so it was meant to run; how it ended may be unknown."""
    ended = outcomes.read(kept)
    if ended is None:
        return ProcessState(phase=Phase.LOST if bundled else Phase.CREATED)
    return ProcessState(
        phase=Phase.CREATED if ended.code is None and not bundled else Phase.EXITED,
        want=ended.want,
        exit_code=ended.code,
        oom_killed=ended.oom,
        finished_at=ended.finished,
        restarts=ended.count,
    )


def _unlaunched(oci: OciRuntime, id: str, wish: Wish | None) -> ProcessState:
    """Without a recorded start: created, or running on after files of its bundle were removed.

    With a wish it is neither: somebody died between create and start, and its init, which waits
    to be started, is nothing that runs.
    """
    init = oci.init(id) if wish is None else None
    if init is not None and alive(init):
        return ProcessState(phase=Phase.RUNNING, pid=init.pid)
    return ProcessState(phase=Phase.CREATED, want=wish.want if wish else None)


def _dead(
    bundle: Path, state: ProcessState, wish: Wish, last: run.Run, found: run.Exit | None
) -> ProcessState:
    counted = run.read_restarts(bundle)
    ended = found or _exit_seen(counted, last)
    return msgspec.structs.replace(
        state,
        phase=_phase(bundle, state.monitor, wish, last, ended),
        pid=None,
        exit_code=ended.code if ended else None,
        oom_killed=bool(ended and ended.oom),
        finished_at=ended.finished if ended else None,
    )


def _phase(bundle: Path, monitor: bool, wish: Wish, last: run.Run, ended: run.Exit | None) -> Phase:
    waiting = run.read_restarter(bundle)
    if waiting is not None and alive(waiting):
        return Phase.RESTARTING
    if ended is None:
        return Phase.LOST if wish.want is Want.RUN else Phase.EXITED
    if monitor and _comes_back(wish, ended, last, run.read_restarts(bundle)):
        return Phase.RESTARTING
    return Phase.EXITED


def _comes_back(wish: Wish, ended: run.Exit, last: run.Run, counted: run.Restarts) -> bool:
    """Whether the exit command, which runs right now, will bring it back."""
    decision = restart.decide(
        wish,
        ended.code or 0,
        restarts=counted.count,
        ran_for=ran_for(last.init),
        last_delay=counted.delay,
    )
    return isinstance(decision, restart.Restart)


def _exit_seen(counted: run.Restarts, last: run.Run) -> run.Exit | None:
    """What the exit command saw of this run before it removed the exit file."""
    if counted.finished < last.began:
        return None
    return run.Exit(code=counted.code, oom=bool(counted.oom), finished=counted.finished)
