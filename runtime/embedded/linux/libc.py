"""The C library, and how its errors become ``OSError``."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def check(status: int, doing: str) -> int:
    """Return ``status``, or raise ``OSError`` from errno when it is negative."""
    if status < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{doing}: {os.strerror(code)}")
    return status
