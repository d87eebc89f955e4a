"""A file descriptor that stands for one process and never for a later one: pidfd_open(2)."""

import errno
import fcntl
import os
import select
import signal
import struct

_GET_INFO = 0xC048FF0B  # _IOWR(0xFF, 11, struct pidfd_info of 72 bytes), Linux 6.13
_INFO_EXIT = 1 << 3  # since Linux 6.15


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
    return bool(poll.poll(max(0, int(timeout * 1000))))


def exit_status(fd: int) -> int | None:
    """The wait status of a dead process that somebody else reaped, ioctl PIDFD_GET_INFO.

    None while it is not reaped and on kernels before 6.15. The pidfd must have been opened
    before the death.
    """
    info = bytearray(72)
    struct.pack_into("Q", info, 0, _INFO_EXIT)
    try:
        fcntl.ioctl(fd, _GET_INFO, info)
    except OSError:
        return None
    (mask,) = struct.unpack_from("Q", info, 0)
    (status,) = struct.unpack_from("i", info, 60)
    return status if mask & _INFO_EXIT else None
