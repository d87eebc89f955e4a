"""What an unpacking keeps in memory for its end, in all: the names are as long as the archive
likes, and as many."""

from runtime.embedded.layers.faults import LayerTooLarge

_MOST = 64 << 20  # some hundred thousand directories; no honest layer has a tenth of that
_EACH = 200  # bytes that a name costs besides its own


class Remembered:
    """Counts the bytes of all names that are kept."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, name: bytes) -> None:
        """Take one more into account. Raises ``LayerTooLarge``."""
        self._bytes += len(name) + _EACH
        if self._bytes > _MOST:
            raise LayerTooLarge("names of its directories and removed files fill memory", _MOST)
