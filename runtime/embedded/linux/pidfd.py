"""A file descriptor that stands for one process and never for a later one: pidfd_open(2)."""

import errno
import os
import select
import signal

_LONGEST = (1 << 31) - 1  # milliseconds


def of(pid: int) -> int | None:
    """Return a pidfd (close-on-exec) for ``pid``; None when there is no such process."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        # EINVAL: the id is that of a thread which is not its group's leader.
        if error.errno in (errno.ESRCH, errno.EINVAL):
            return None
        raise


def send(fd: int, number: int) -> bool:
    """Send a signal, pidfd_send_signal(2); False when the process has ended."""
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    return True


def ended(fd: int, timeout: float) -> bool:
    """Wait until the process is dead (reaped or not), at most ``timeout`` seconds."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(milliseconds(timeout)))


def milliseconds(seconds: float) -> int:
    """A time to wait as poll(2) takes it, which is 24 days at most."""
    return int(min(max(0.0, seconds) * 1000, _LONGEST))
