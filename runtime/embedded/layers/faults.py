"""What can be wrong with a layer, and how its names are shown."""

from runtime.errors import Fault


def shown(name: bytes) -> str:
    """A foreign name for people: no control character reaches a terminal; 200 characters."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 200 else f"{text[:197]}..."


class BadLayer(Fault):
    """An archive that is damaged, or made to do harm; nothing of it is kept."""

    def __init__(self, why: str, *, entry: bytes | None = None) -> None:
        self.entry = entry
        where = "" if entry is None else f"entry {shown(entry)!r}: "
        super().__init__(
            "the layer cannot be unpacked",
            why=f"{where}{why}",
            hint="the image is damaged or hostile: build it anew, or ask who published it",
        )


class LayerTooLarge(Fault):
    """A layer that would become larger than its budget: likely a decompression bomb."""

    def __init__(self, what: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            "the layer is too large",
            why=f"{what}, and the limit is {limit:,}",
            hint="use an image with a smaller layer, or give the engine's disk more room",
        )
