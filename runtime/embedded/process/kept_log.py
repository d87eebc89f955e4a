"""What there is to know about a log for whoever keeps what it outgrows."""

from pathlib import Path

import msgspec


class KeptLog(msgspec.Struct, frozen=True, kw_only=True):
    """A log in a folder of its own, the bundle of its container, and its limits: bytes of a file,
    0 for no log, and files, the current one included."""

    path: Path
    bundle: Path
    most: int
    files: int
