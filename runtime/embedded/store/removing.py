"""Images and their data leave the store: by name, or because nobody uses them.

All of it happens under the store's exclusive lock, in which it is asked who uses what: whoever
makes a container holds the shared one until its row is written.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from runtime.api import ImageSummary, Removal
from runtime.embedded.registry import image_config
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.store.ballast import despite_full_disk
from runtime.embedded.store.faults import ImageAbsent, ImageForgotten, ImageInUse, SeveralNames
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.index import Rows
from runtime.embedded.store.layout import Layout
from runtime.embedded.store.lookup import find_id, summaries
from runtime.reference import BadReference, Reference, parse

_PATIENCE = 20.0  # seconds to wait for those who pull

# By image id: the containers made from it, and whether they run.
Used = Mapping[str, Mapping[str, bool]]
Users = Callable[[], Used]
# The layers and the blobs that stay, and those layers that containers stand on.
Kept = tuple[Collection[str], Collection[str], Collection[str]]


@dataclass(frozen=True, slots=True)
class Remover:
    """Takes images out of ``store``; ``users`` is asked inside the lock."""

    store: ImageStore
    users: Users

    def remove(self, name: str, *, force: bool) -> Removal:
        """Docker's rules. By name that one is taken away, and with the last one the image; while
        it is in use the last one goes by ``force`` only. By id all names go, several by ``force``
        only; while a container runs it is refused, while one stands still it takes ``force``.

        Other than with docker the image stays, without a name, for containers that stand still.
        Raises ``ImageAbsent``, ``ImageInUse``, ``SeveralNames``.
        """

        def forget(rows: Rows, users: Used) -> Removal:
            id = find_id(rows, name)
            if not id:
                raise ImageAbsent(name)
            known, used = _Names.of(rows, id), users.get(id, {})
            going = known.meant(name)
            if going:
                left = set(known.all) - set(going)
                if used and not left and not force:
                    raise ImageInUse(name, used, forced=False)
            else:
                hard = any(used.values()) or not known.all
                if used and (hard or not force):
                    raise ImageInUse(name, used, forced=hard)
                if known.are_several and not force:
                    raise SeveralNames(name, known.all)
                going, left = known.all, set()
            for each in going:
                rows.remove_name(each, id)
            if left or used:
                return Removal(untagged=going)
            rows.remove_image(id)
            return Removal(untagged=going, deleted=(id,))

        if not self.store.layout.index.exists():
            raise ImageAbsent(name)
        return self._with_data(forget, begun=True)

    def prune(self, *, everything: bool, chosen: Callable[[ImageSummary], bool]) -> Removal:
        """Those without a tag, or all, that no container was made from and ``chosen`` takes. With
        all go the fetches that broke off, too."""

        def forget(rows: Rows, users: Used) -> Removal:
            untagged: list[str] = []
            deleted: list[str] = []
            for each in summaries(rows):
                if each.id in users or (each.tags and not everything) or not chosen(each):
                    continue
                untagged += (*each.references, *each.names)
                deleted.append(each.id)
                rows.remove_image(each.id)
            return Removal(untagged=tuple(untagged), deleted=tuple(deleted))

        if not self.store.layout.root.exists():
            return Removal()
        return self._with_data(forget, begun=not everything)

    def _with_data(self, forget: Callable[[Rows, Used], Removal], *, begun: bool) -> Removal:
        """Forget, and free what nothing needs any more; at no free byte, too. With ``begun``,
        fetches that broke off lately stay to be gone on with. Raises ``ImageForgotten``."""
        store = self.store
        store.layout.prepare()
        with store.layout.removing(_PATIENCE):
            users = self.users()

            def change() -> tuple[Removal, int, Kept]:
                with store.index.writing() as rows:
                    removal = forget(rows, users)
                    used = _used(store.layout, rows, users)
                    stood = set[str]().union(*used.values())
                    needed = rows.needed_layers() | stood
                    freed = drop_unneeded(rows, needed)
                    blobs = {blob.digest for blob in rows.blobs()}
                    return removal, freed, (needed, rows.documents() | blobs | used.keys(), stood)

            removal, layers, kept = despite_full_disk(store.layout, change)
            blobs = despite_full_disk(
                store.layout, lambda: store.layout.keep_only(*kept, begun=begun)
            )
            return Removal(untagged=removal.untagged, deleted=removal.deleted, freed=layers + blobs)


def drop_unneeded(rows: Rows, needed: Collection[str]) -> int:
    """Forget the layers (but these, by diff id) and their archives; the layers' content in
    bytes."""
    freed = 0
    for layer in rows.all_layers():
        if layer.diff_id not in needed:
            rows.remove_layer(layer.diff_id)
            freed += layer.size
    for blob in rows.blobs():
        if blob.diff_id not in needed:
            rows.remove_blob(blob.digest)
    return freed


def _used(layout: Layout, rows: Rows, users: Used) -> dict[str, tuple[str, ...]]:
    """The layers of the images that containers were made from. Of one that the index does not know,
    since somebody moved it away, the configuration tells. Raises ``ImageForgotten``."""
    found: dict[str, tuple[str, ...]] = {}
    for id in sorted(users):
        image = rows.image(id)
        layers = image.layers if image else _told(layout, id)
        if layers is None:
            raise ImageForgotten(id, users[id])
        found[id] = layers
    return found


def _told(layout: Layout, id: str) -> tuple[str, ...] | None:
    """The layers of an image as its configuration has them; None when that is not what it was."""
    with suppress(OSError, BadDocument):
        raw = layout.blob(id).read_bytes()
        if image_config.digest_of(raw) == id:
            return image_config.parse(raw).diff_ids
    return None


@dataclass(frozen=True, slots=True)
class _Names:
    """What an image is called: with tags and by specs, and by digests."""

    tags: tuple[str, ...]
    digests: tuple[str, ...]

    @classmethod
    def of(cls, rows: Rows, id: str) -> "_Names":
        digests = rows.digests(id)
        called = (*rows.references(id), *rows.names(id))
        return cls(tuple(each for each in called if each not in digests), digests)

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.tags, *self.digests)

    @property
    def are_several(self) -> bool:
        """A tag and the digests of its repository are one."""
        return len(self.tags) > 1 or len({_place(each) for each in self.all}) > 1

    def meant(self, name: str) -> tuple[str, ...]:
        """Those that go with ``name``; none when it is no name of it but an id. With the last tag
        of a repository go its digests."""
        given = next((each for each in self.all if each in _forms(name)), None)
        if given is None or given in self.digests:
            return () if given is None else (given,)
        place = _place(given)
        if any(_place(each) == place for each in self.tags if each != given):
            return (given,)
        return (given, *(each for each in self.digests if _place(each) == place))


def _read(name: str) -> Reference | None:
    try:
        return parse(name)
    except BadReference:
        return None  # an id, or what a spec calls it


def _forms(name: str) -> tuple[str, ...]:
    """As it is written, in full, and without the tag that says nothing beside a digest."""
    found = _read(name)
    if found is None:
        return (name,)
    return (name, str(found), f"{found.place}@{found.digest}")


def _place(name: str) -> str:
    found = _read(name)
    return found.place if found else name
