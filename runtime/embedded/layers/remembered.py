"""What an unpacking keeps in memory for its end, in all: the names, and the default ACLs of
directories, are as long as the archive likes, and as many."""

from runtime.embedded.layers.faults import LayerTooLarge

_MOST = 64 << 20  # some hundred thousand directories; no honest layer has a tenth of that
_EACH = 200  # bytes that each costs besides its own


class Remembered:
    """Counts the bytes of all that is kept."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, kept: bytes) -> None:
        """Take one more into account. Raises ``LayerTooLarge``."""
        self._bytes += len(kept) + _EACH
        if self._bytes > _MOST:
            what = "names and ACLs of directories and removed files fill memory"
            raise LayerTooLarge(what, _MOST)
