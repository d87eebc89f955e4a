"""What names mean in the index, and its images as rows of a list."""

from contextlib import suppress

from runtime.api import ImageSummary
from runtime.embedded.store.faults import AmbiguousImage
from runtime.embedded.store.index import Image, Rows
from runtime.reference import BadReference, parse

_SHORTEST_PREFIX = 3  # an image that a spec calls "db" is no id
_HEX = frozenset("0123456789abcdef")


def summaries(rows: Rows) -> list[ImageSummary]:
    """Every image as a row of a list, also one that somebody has damaged or removed in part, or of
    which nothing but its names can be read."""
    return [_summary(rows, rows.image(id) or Image(id=id)) for id in rows.ids()]


def _summary(rows: Rows, image: Image) -> ImageSummary:
    return ImageSummary(
        id=image.id,
        references=tuple(dict.fromkeys((*rows.references(image.id), *rows.digests(image.id)))),
        names=rows.names(image.id),
        created=image.created,
        size=image.size,
        labels=image.defaults.labels,
        platform=image.platform,
    )


def find(rows: Rows, name: str) -> Image | None:
    """The image that a name means. Raises ``AmbiguousImage``."""
    return rows.image(find_id(rows, name))


def find_id(rows: Rows, name: str) -> str:
    """What a name means: first what a spec calls it, then as a reference, then as an id or the
    beginning of one; "" for nothing. Raises ``AmbiguousImage``."""
    id = rows.named(name)
    if id is None:
        with suppress(BadReference):
            reference = parse(name)
            if found := rows.reference(str(reference)):
                id = found[0]
            elif reference.digest:
                id = rows.by_digest(reference.place, reference.digest)
    return id or _by_prefix(rows, name)


def _by_prefix(rows: Rows, text: str) -> str:
    digits = text.removeprefix("sha256:")
    if len(digits) < _SHORTEST_PREFIX or not set(digits) <= _HEX:
        return ""
    ids = rows.ids(digits)
    if len(ids) > 1:
        raise AmbiguousImage(text, ids)
    return ids[0] if ids else ""
