"""Whether a container's program is in its image: asked before an old container stops for it."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.embedded.bundle.command import DEFAULT_PATH, Command
from runtime.embedded.linux import files
from runtime.errors import Fault


class NoSuchProgram(Fault):
    """``command`` or ``entrypoint`` names what the image does not have."""

    status = 127

    def __init__(self, program: str, container: str) -> None:
        self.program, self.container = program, container
        super().__init__(
            f"{container} cannot be started",
            why=f"{program} is not in its image, there or in PATH",
            hint="correct `command` or `entrypoint`",
        )


class NotExecutable(Fault):
    """The program is there, and is no file that can be executed."""

    status = 126

    def __init__(self, program: str, container: str) -> None:
        self.program, self.container = program, container
        super().__init__(
            f"{container} cannot be started",
            why=f"{program} in its image cannot be executed",
            hint="check its permissions in the image, and that it is a file",
        )


def check(root: Path, command: Command, mounted: Sequence[str], container: str) -> None:
    """Look for the program below ``root`` as execvp(3) would. What a mount may bring (``mounted``
    are targets) is taken as given. Raises ``NoSuchProgram`` and ``NotExecutable``."""
    program, found = command.args[0], False
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in _candidates(program, command):
            if any(path == target or path.startswith(f"{target}/") for target in mounted):
                return
            mode = _mode(descriptor, path)
            if mode is not None and stat.S_ISREG(mode) and mode & 0o111:
                return
            found = found or mode is not None
    finally:
        os.close(descriptor)
    raise (NotExecutable if found else NoSuchProgram)(program, container)


def _candidates(program: str, command: Command) -> Iterator[str]:
    if "/" in program:
        yield os.path.normpath(os.path.join(command.cwd, program))
        return
    named = (entry.removeprefix("PATH=") for entry in command.env if entry.startswith("PATH="))
    for folder in next(named, DEFAULT_PATH).split(":"):
        yield os.path.normpath(os.path.join(command.cwd, folder, program))


def _mode(root: int, path: str) -> int | None:
    """The mode of what ``path`` leads to inside the image; None when there is nothing."""
    try:
        fd = files.openat2(root, os.fsencode(path), os.O_PATH, files.RESOLVE_IN_ROOT)
    except OSError:
        return None
    try:
        return os.fstat(fd).st_mode
    finally:
        os.close(fd)
