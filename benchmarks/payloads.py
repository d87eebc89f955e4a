"""Images to move: one large layer, many layers, many small files. Two thirds of their bytes do
not compress, as with programs that are compressed a little already; every run makes the same."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.images import layers, oci
from tests.images.layers import Entry

MEGABYTE = 1 << 20
_BLOCK = 1 << 16
_WORDS = b"the quick brown fox jumps over the lazy dog and returns 0 when nothing is wrong\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """``layers`` layers of ``files`` files each, ``size`` bytes in a file."""

    title: str
    layers: int = 1
    files: int
    size: int

    @property
    def name(self) -> str:
        """Its repository."""
        return f"payload-{self.layers}-{self.files}-{self.size}"

    def image(self) -> oci.Image:
        return oci.Image(layers=[dict(self._layer(n)) for n in range(self.layers)])

    def _layer(self, number: int) -> Iterator[tuple[str, Entry]]:
        chance = random.Random(f"{self.name} {number}")
        for file in range(self.files):
            folder = f"data/{number}/{file // 100}"
            content = bytes(_content(chance, self.size))
            yield f"{folder}/{file}", layers.file(content, mode=0o644 + 0o111 * (file % 2))


def _content(chance: random.Random, size: int) -> bytearray:
    made = bytearray()
    while len(made) < size:
        part = min(_BLOCK, size - len(made))
        noise = part * 3 // 5
        made += chance.randbytes(noise)
        made += (_WORDS * (part // len(_WORDS) + 1))[: part - noise]
    return made


def payloads(share: float) -> Mapping[str, Payload]:
    """The three, at ``share`` of their full size."""
    size = int(10 * MEGABYTE * share)
    return {
        "large": Payload(title="one layer of 300 MB", files=30, size=size),
        "layers": Payload(title="20 layers of 10 MB", layers=20, files=1, size=size),
        "files": Payload(title="40,000 files", files=int(40_000 * share), size=3000),
    }
