"""From a reference to an image that is here: resolve once, then layers side by side.

The tag is asked for once; everything after that goes by digest, so a tag that moves meanwhile
cannot mix two images. A layer that is here, from whatever image, is not fetched.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runtime.api import Progress, Report
from runtime.embedded.registry import image_config
from runtime.embedded.registry.client import Begun, Client
from runtime.embedded.registry.documents import BadDocument, Descriptor
from runtime.embedded.registry.image_config import ImageConfig
from runtime.embedded.registry.manifest import Manifest, Platform
from runtime.embedded.store.blobs import Fetched
from runtime.embedded.store.faults import NotEnoughRoom
from runtime.embedded.store.unpack import CONTENT_FAULTS, Unpacker, layers_of
from runtime.embedded.store.workers import Workers
from runtime.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """``digest`` is what the tag led to; ``documents`` are manifests and configuration by
    digest, to be kept."""

    digest: str
    config: ImageConfig
    documents: dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A layer by what it is called compressed and what it becomes."""

    blob: Descriptor
    diff_id: str


def pull(
    client: Client,
    reference: Reference,
    unpacker: Unpacker,
    report: Report,
    platform: Platform,
) -> Pulled:
    """Bring every layer of the image for ``platform`` here; to enter it is the caller's. Raises
    the faults of registry, documents and layers."""
    report(Progress(what=reference.familiar, doing="resolving"))
    top = client.manifest(reference)
    documents = {top.digest: top.raw}
    made_of = client.chosen(reference, top, platform, documents)
    raw = client.document(reference, made_of.config)
    documents[made_of.config.digest] = raw
    image = image_config.parse(raw)
    image_config.check_platform(image, platform, reference.familiar)
    _fetch_layers(client, reference, _plans(made_of, image), unpacker, report)
    return Pulled(digest=top.digest, config=image, documents=documents)


def _plans(made_of: Manifest, image: ImageConfig) -> list[Plan]:
    """Each layer once: one that stands in an image twice (empty ones do) is one layer here."""
    if len(made_of.layers) != len(image.diff_ids):
        raise BadDocument(
            "manifest",
            f"it has {len(made_of.layers)} layers, its configuration {len(image.diff_ids)}",
        )
    pairs = zip(image.diff_ids, made_of.layers, strict=True)
    return [Plan(blob=blob, diff_id=diff_id) for diff_id, blob in dict(pairs).items()]


def _fetch_layers(
    client: Client,
    reference: Reference,
    plans: Sequence[Plan],
    unpacker: Unpacker,
    report: Report,
) -> None:
    workers = Workers(report, client.session.stop)

    def fetch(plan: Plan) -> None:
        """What a killed pull left is used; if the whole then is not what it should be, that may
        be to blame, so the blob is fetched once more from its first byte."""
        blob, name = plan.blob, plan.diff_id[7:19]

        def rest(begun: Begun) -> Iterator[bytes]:
            pieces = client.blob(reference, blob, begun)
            return workers.told(pieces, name, "pulling", blob.size, done=begun.size)

        fetched = Fetched(unpacker.layout, blob, plan.diff_id, rest)
        try:
            unpacker.add(plan.diff_id, lambda: fetched, workers.stop.still)
        except CONTENT_FAULTS:
            if not fetched.resumed:
                raise
            again = Fetched(unpacker.layout, blob, plan.diff_id, rest)
            unpacker.add(plan.diff_id, lambda: again, workers.stop.still)

    missing = [plan for plan in plans if not unpacker.whole(plan.diff_id)]
    for plan in plans:
        report(_before(plan, here=plan not in missing))
    _check_room(unpacker, missing)
    with layers_of(reference.familiar):
        workers.run(fetch, missing)


def _before(plan: Plan, *, here: bool) -> Progress:
    """What is told of every layer at first, so that the total is known."""
    name = plan.diff_id[7:19]
    if here:
        return Progress(what=name, doing="here already", over=True)
    return Progress(what=name, doing="waiting", total=plan.blob.size)


def _check_room(unpacker: Unpacker, missing: Sequence[Plan]) -> None:
    """Archives and what is in them, which has at least their size, must fit: what is refused here
    could only fail later. Raises ``NotEnoughRoom``."""
    needed = 2 * sum(plan.blob.size for plan in missing)
    status = os.statvfs(unpacker.layout.root)
    free = status.f_bavail * status.f_frsize
    here = sum(unpacker.layout.begun(plan.blob.digest, plan.diff_id) for plan in missing)
    if needed - here > free:
        raise NotEnoughRoom(str(unpacker.layout.root), needed - here, free)
