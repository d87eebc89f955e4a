"""Images and their data leave the store: by name, or because nobody uses them.

All of it happens under the store's exclusive lock, in which it is asked who uses what: whoever
makes a container holds the shared one until its row is written.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from runtime.api import ImageSummary, Removal
from runtime.embedded.store.ballast import despite_full_disk
from runtime.embedded.store.faults import ImageAbsent, ImageInUse, SeveralNames
from runtime.embedded.store.images import ImageStore, find
from runtime.embedded.store.index import Image, Rows
from runtime.reference import BadReference, parse

_PATIENCE = 20.0  # seconds to wait for those who pull

Users = Callable[[], Mapping[str, Sequence[str]]]  # image id -> the containers made from it


@dataclass(frozen=True, slots=True)
class Remover:
    """Takes images out of ``store``; ``users`` is asked inside the lock."""

    store: ImageStore
    users: Users

    def remove(self, name: str, *, force: bool) -> Removal:
        """Docker's rules: a name is taken away; with the last one goes the image, unless it is in
        use. By id all names go, those in several repositories only by ``force``. Of an image in
        use ``force`` takes the names only. Raises ``ImageAbsent``, ``ImageInUse``,
        ``SeveralNames``."""

        def forget(rows: Rows, users: Mapping[str, Sequence[str]]) -> Removal:
            image = find(rows, name)
            if image is None:
                raise ImageAbsent(name)
            names = _names(rows, image)
            meant = _meant(name, names)
            used = users.get(image.id, ())
            if not meant and not force and len({_repository(each) for each in names}) > 1:
                raise SeveralNames(name, names)
            going = meant or names
            last = set(going) == set(names)
            if last and used and not force:
                raise ImageInUse(name, used)
            for each in going:
                rows.remove_name(each)
            if last and not used:
                rows.remove_image(image.id)
            return Removal(untagged=going, deleted=(image.id,) if last and not used else ())

        return self._with_data(forget)

    def prune(self, *, everything: bool, chosen: Callable[[ImageSummary], bool]) -> Removal:
        """Those without a name, or all, that no container was made from and ``chosen`` takes."""

        def forget(rows: Rows, users: Mapping[str, Sequence[str]]) -> Removal:
            untagged: list[str] = []
            deleted: list[str] = []
            for summary in self.store.summaries(rows):
                image = rows.image(summary.id)
                if image is None or image.id in users or not chosen(summary):
                    continue
                names = _names(rows, image)
                if names and not everything:
                    continue
                untagged += names
                deleted.append(image.id)
                rows.remove_image(image.id)
            return Removal(untagged=tuple(untagged), deleted=tuple(deleted))

        return self._with_data(forget)

    def _with_data(self, forget: Callable[[Rows, Mapping[str, Sequence[str]]], Removal]) -> Removal:
        """Forget, and free what nothing needs any more; at no free byte, too."""
        store = self.store
        if not store.layout.index.exists():
            return Removal()

        def work() -> Removal:
            with store.layout.removing(_PATIENCE):
                users = self.users()
                with store.index.writing() as rows:
                    removal = forget(rows, users)
                    freed = drop_unneeded(rows)
                    kept = _kept(rows)
                return Removal(
                    untagged=removal.untagged,
                    deleted=removal.deleted,
                    freed=freed + store.layout.keep_only(*kept),
                )

        return despite_full_disk(store.layout, work)


def drop_unneeded(rows: Rows) -> int:
    """Forget the layers and archives that no image needs; the layers' content in bytes."""
    needed, freed = rows.needed_layers(), 0
    for layer in rows.all_layers():
        if layer.diff_id not in needed:
            rows.remove_layer(layer.diff_id)
            freed += layer.size
    for blob in rows.blobs():
        if blob.diff_id not in needed:
            rows.remove_blob(blob.digest)
    return freed


def _kept(rows: Rows) -> tuple[Collection[str], Collection[str]]:
    """The layers and blobs that stay."""
    return rows.needed_layers(), rows.documents() | {blob.digest for blob in rows.blobs()}


def _names(rows: Rows, image: Image) -> tuple[str, ...]:
    """References, and what specs call it."""
    return (*image.references, *rows.names(image.id))


def _meant(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """The one of ``names`` that was given; none when it was an id."""
    if name in names:
        return (name,)
    try:
        reference = parse(name)
    except BadReference:
        return ()
    if reference.digest and not reference.tag:
        return ()
    return (str(reference),) if str(reference) in names else ()


def _repository(name: str) -> str:
    """What stands before the tag or digest."""
    try:
        reference = parse(name)
    except BadReference:
        return name  # what a spec calls it
    return f"{reference.host}/{reference.repository}"
