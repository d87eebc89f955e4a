"""What can be wrong with a layer, and how its names are shown."""

from runtime.errors import Fault


def shown(name: bytes) -> str:
    """A foreign name for people: no control character reaches a terminal; 200 characters."""
    text = name.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 200 else f"{text[:197]}..."


class BadLayer(Fault):
    """An archive that is damaged, or made to do harm; nothing of it is kept. ``layer`` is what it
    is called by whoever knows which one it is (``named``)."""

    def __init__(self, why: str, *, entry: bytes | None = None, layer: str = "the layer") -> None:
        self.reason, self.entry, self.layer = why, entry, layer
        where = "" if entry is None else f"entry {shown(entry)!r}: "
        super().__init__(
            f"{layer} cannot be unpacked",
            why=f"{where}{why}",
            hint="the image is damaged or hostile: build it anew, or ask who published it",
        )

    def named(self, layer: str) -> "BadLayer":
        return BadLayer(self.reason, entry=self.entry, layer=layer)


class LayerTooLarge(Fault):
    """A layer that would become larger than its budget: likely a decompression bomb. ``layer`` as
    for ``BadLayer``."""

    def __init__(self, reason: str, limit: int, *, layer: str = "the layer") -> None:
        self.reason, self.limit, self.layer = reason, limit, layer
        super().__init__(
            f"{layer} is too large",
            why=f"{reason}, and the limit is {limit:,}",
            hint="use an image with a smaller layer, or give the engine's disk more room",
        )

    def named(self, layer: str) -> "LayerTooLarge":
        return LayerTooLarge(self.reason, self.limit, layer=layer)
