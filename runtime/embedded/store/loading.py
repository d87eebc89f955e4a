"""Every image of an archive comes here, with the names that it has there."""

from runtime.api import Loaded, Report
from runtime.embedded.store import archives
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.local import add_layers


def load(store: ImageStore, source: int, name: str, report: Report) -> tuple[Loaded, ...]:
    """Read the archive in the descriptor ``source``, a file or a pipe, called ``name`` in messages.
    Names go over to the images at once, when all are whole. Raises ``BadArchive``, ``BadDocument``
    and the faults of layers."""
    with store.adding(), archives.opened(name, source, store.layout.tmp) as images:
        add_layers(images, name, store.unpacker, report)
        for image in images:
            store.keep(image.documents)
        with store.index.writing() as rows:
            for image in images:
                store.enter(rows, image.config, image.documents)
                for reference in image.references:
                    rows.put_tag(reference, image.config.id)
    return tuple(Loaded(id=image.config.id, references=image.references) for image in images)
