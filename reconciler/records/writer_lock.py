"""The project's lock: whoever changes a project holds it; whoever only looks does not need it.
Beside it the mark of a watch, which keeps nobody out."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runtime.durable import Locked, lock


@contextmanager
def project_lock(
    locks: Path,
    project: str,
    *,
    timeout: float | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the project's lock, a file in the folder ``locks``; it is free when we end or die.

    ``waiting`` is called once with the holder's pid and command when somebody else has it;
    ``timeout`` is in seconds, None waits for good. Raises ``runtime.durable.Locked``.
    """
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = locks / f"project-{project}.lock"
    with lock(path, what=f"project {project}", timeout=timeout, waiting=waiting):
        yield


@contextmanager
def watch_lock(locks: Path, project: str) -> Iterator[str]:
    """Be known as a watch of the project; gives the other one, as its pid and command, when there
    is one already, else "". Never waits."""
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        other = ""
        try:
            path = locks / f"watch-{project}.lock"
            stack.enter_context(lock(path, what=f"the watch of {project}", timeout=0.0))
        except Locked as busy:
            other = busy.holder
        yield other
