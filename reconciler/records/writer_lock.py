"""The project's lock: whoever changes a project holds it; whoever only looks does not need it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.durable import lock


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
