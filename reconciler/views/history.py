"""The rows of ``history``: how an image was made, the newest step first, as Docker has them."""

from collections.abc import Sequence

from reconciler.views.inspect import moment
from reconciler.views.quantities import ago, decimal_size
from reconciler.views.terminal import cut
from runtime.api import HistoryRow, ImageDetails

COLUMNS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
TITLES = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
MISSING = "<missing>"  # steps have no images of their own
_WIDEST = 45


def rows(image: ImageDetails, *, now: float, full: bool, human: bool) -> list[dict[str, object]]:
    """A row per step; ``full`` cuts nothing, ``human`` words times and sizes for people, ``now``
    is in seconds since the epoch. An image that does not say how it was made has one row."""
    id = image.id if full else image.id.removeprefix("sha256:")[:12]
    steps: Sequence[HistoryRow] = image.history or (
        HistoryRow(created=image.created, size=image.size, comment=image.comment),
    )
    ids = [id, *[MISSING] * (len(steps) - 1)]
    return [
        _row(step, called, now=now, full=full, human=human)
        for step, called in zip(reversed(steps), ids, strict=True)
    ]


def _row(step: HistoryRow, id: str, *, now: float, full: bool, human: bool) -> dict[str, object]:
    created_by = step.created_by.replace("\t", " ")
    at = moment(step.created)
    since = ago(step.created, now) if step.created else "N/A"
    return {
        "ID": id,
        "CreatedSince": since if human else at,
        "CreatedAt": at,
        "CreatedBy": created_by if full else cut(created_by, _WIDEST),
        "Size": decimal_size(step.size) if human else str(step.size),
        "Comment": step.comment,
    }
