"""All about one image, read from its configuration document (OCI image-spec, config.md)."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from runtime.api import HistoryRow, ImageDetails
from runtime.embedded.registry.documents import BadDocument, read
from runtime.embedded.registry.image_config import moment
from runtime.embedded.store.faults import ImageAbsent
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.lookup import find


def details(store: ImageStore, name: str) -> ImageDetails:
    """What is known of the image that ``name`` means. Raises ``ImageAbsent``,
    ``AmbiguousImage``."""
    with store.index.reading() as rows:
        image = find(rows, name) if rows is not None else None
        if rows is None or image is None:
            raise ImageAbsent(name)
        layers = [rows.layer(diff_id) for diff_id in image.layers]
        digests, names = rows.digests(image.id), rows.names(image.id)
    document = _document(store, image.id)
    history = tuple(_history(document, [layer.size if layer else 0 for layer in layers]))
    return ImageDetails(
        id=image.id,
        references=image.references,
        digests=digests,
        names=names,
        created=image.created,
        size=image.size,
        platform=image.platform,
        author=_text(document, "author"),
        comment=_text(document, "comment") or (history[-1].comment if history else ""),
        defaults=image.defaults,
        layers=image.layers,
        history=history,
    )


def _document(store: ImageStore, id: str) -> dict[str, Any]:
    """What cannot be read any more tells nothing; `image verify` says so."""
    with suppress(OSError, BadDocument):
        return read(store.layout.blob(id).read_bytes(), "image configuration")
    return {}


def _history(document: dict[str, Any], sizes: list[int]) -> Iterator[HistoryRow]:
    """The steps as they are told, each that made a layer with its size; where nothing is told, a
    step for each layer."""
    told = document.get("history")
    steps = [step for step in told if isinstance(step, dict)] if isinstance(told, list) else []
    left = list(reversed(sizes))
    for step in steps:
        empty = step.get("empty_layer") is True
        yield HistoryRow(
            created=moment(step.get("created")),
            created_by=_text(step, "created_by"),
            comment=_text(step, "comment"),
            size=0 if empty or not left else left.pop(),
            empty=empty,
        )
    for size in reversed(left):
        yield HistoryRow(created=moment(document.get("created")), size=size)


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""
