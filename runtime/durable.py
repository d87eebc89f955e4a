"""Files that are whole or absent, and locks that die with their holder.

The order write, fsync, rename, fsync of the folder is what ext4 and xfs need: rename alone
left names with zero bytes after power loss.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.errors import DiskFull, Fault


class Locked(Fault):
    """Somebody else holds a lock that we waited for."""

    def __init__(self, what: str, holder: str, waited: float) -> None:
        self.what_locked, self.holder, self.waited = what, holder, waited
        super().__init__(
            f"{what} is busy",
            why=f"{holder} has held it for more than {waited:.0f} s",
            hint="wait for it to end, or give a longer --lock-timeout",
        )


def write(
    path: Path,
    content: bytes,
    *,
    mode: int = 0o600,
    owner: tuple[int, int] | None = None,
    sync: bool = True,
) -> None:
    """Put ``content`` at ``path`` as a whole; a second call with the same content is harmless.

    ``mode`` is the file's, whatever the umask; ``owner`` is uid and gid, None: ours. With ``sync``
    the file and its name survive power loss once this returns. What a killed writer left goes
    with the next write. Raises ``DiskFull``.
    """
    beside = _beside(path)
    try:
        fd = _create(beside)
        try:
            if owner is not None:
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)
            write_all(fd, content)
            if sync:
                os.fdatasync(fd)
            os.rename(beside, path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        if sync:
            sync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(str(path)) from error
        raise


def remove(path: Path) -> None:
    """Remove a file that ``write`` makes, and what a killed writer left of it. Idempotent."""
    path.unlink(missing_ok=True)
    _clear(_beside(path))


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _create(path: Path) -> int:
    """A new file that is locked while its writer lives."""
    while True:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            _clear(path)
            continue
        fcntl.flock(fd, fcntl.LOCK_EX)
        if _still_named(fd, path):
            return fd
        os.close(fd)  # somebody cleared it before it was locked


def _clear(path: Path) -> None:
    """Wait for the writer of such a file, and remove what is left if it died."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if _still_named(fd, path):
            path.unlink()
    finally:
        os.close(fd)


def write_all(fd: int, content: bytes | memoryview) -> None:
    """Write all of it, however many calls that takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, fsync(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Mutex:
    """An flock(2) on a file that stays, for what takes milliseconds; of several threads of a
    process only one may use it at a time. Free when its holder dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def __enter__(self) -> None:
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        assert self._fd is not None
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@contextmanager
def lock(
    path: Path,
    *,
    what: str,
    timeout: float | None = None,
    waiting: Callable[[str], None] | None = None,
    still: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Hold the lock file ``path`` exclusively, flock(2); it is free when we end or die.

    The holder writes its pid and command into the file so that whoever waits can name it;
    ``waiting`` is called once with that text. ``timeout`` is in seconds, None waits for good.
    ``still`` is called while we wait, and may raise to end that. The file is removed on release.
    Raises ``Locked``.
    """
    started, told = clock(), False
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _take(fd):
            if _still_named(fd, path):
                break
            os.close(fd)
            continue
        holder = _holder(fd)
        os.close(fd)
        if timeout is not None and clock() - started > timeout:
            raise Locked(what, holder, timeout)
        if waiting is not None and not told:
            waiting(holder)
            told = True
        if still is not None:
            still()
        time.sleep(0.02)
    try:
        os.truncate(fd, 0)
        os.pwrite(fd, _signature(), 0)
        yield
    finally:
        # Removed while still held: a waiter then finds that its file has lost its name.
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(fd)


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_named(fd: int, path: Path) -> bool:
    """Whether the locked file still has its name: the last holder removed it on release."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _signature() -> bytes:
    with open("/proc/self/cmdline", "rb") as file:
        command = file.read().replace(b"\0", b" ").strip()
    return b"%d %s" % (os.getpid(), command[:200])


def _holder(fd: int) -> str:
    try:
        pid, _, command = os.pread(fd, 4096, 0).decode(errors="replace").partition(" ")
    except OSError:
        return "another process"
    return f"process {pid} ({command})" if pid else "another process"
