"""The images that a runtime has, and the registries that it speaks to."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from runtime.api.image import ImageDefaults, ImageSpec, RegistryAccess
from runtime.api.report import Report


class ArchiveForm(StrEnum):
    """How several images are put into one file."""

    DOCKER = "docker-archive"  # manifest.json; layers uncompressed
    OCI = "oci-archive"  # the image-spec's image layout as a tar; every digest is kept


class ImageSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of ``images``: sizes in bytes, times in seconds since the epoch. ``names`` are those
    of images that came from files, as specs call them: ``site@shop``."""

    id: str
    references: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    created: float = 0.0
    size: int = 0
    labels: dict[str, str] = {}
    platform: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        """Its names but those by digest: an image without any is called dangling, as docker does.
        So are those that a lock file has meant before."""
        return tuple(name for name in (*self.references, *self.names) if "@sha256:" not in name)


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step by which the image was made; ``empty``: it made no layer."""

    created: float = 0.0
    created_by: str = ""
    comment: str = ""
    size: int = 0
    empty: bool = False


class ImageDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All about an image. ``digests`` are its names by digest (host/repository@sha256:...),
    ``layers`` diff ids, the lowest first; ``history`` has the oldest step first."""

    id: str
    references: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    created: float = 0.0
    size: int = 0
    platform: str = ""
    author: str = ""
    comment: str = ""
    defaults: ImageDefaults = ImageDefaults()
    layers: tuple[str, ...] = ()
    history: tuple[HistoryRow, ...] = ()


class Removal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went: names (complete references), image ids, and ``freed`` bytes of disk."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    freed: int = 0


class Loaded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image that an archive held, with the references that it had there."""

    id: str
    references: tuple[str, ...] = ()


class Damage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something of an image that is not what it should be. ``what`` is in words ("layer
    sha256:12ab…: usr/bin/env differs"); ``images`` are the ids that need it."""

    what: str
    images: tuple[str, ...] = ()


class SearchHit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A repository that a registry knows. ``tags`` only where the registry was asked for them."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False
    tags: tuple[str, ...] = ()


class Resolved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a reference means in its registry now. ``platforms`` leads from linux/amd64 and the
    like to the digest of that platform's manifest; ``created`` is when the image for the
    platform asked for was made, in seconds since the epoch, 0.0 when it does not say."""

    reference: str
    digest: str
    platforms: dict[str, str] = {}
    created: float = 0.0


class Images(Protocol):
    """The verbs on images that are here. ``name`` is whatever names one: a reference in any form,
    an id or the beginning of one, what a spec calls it. All may be called by several threads and
    processes at a time; each raises a ``Fault``: ``ImageAbsent``, ``AmbiguousImage`` ..."""

    def list(self) -> tuple[ImageSummary, ...]:
        """All images, the youngest first, also those that ``verify`` found damaged."""
        ...

    def details(self, name: str) -> ImageDetails: ...

    def pull(self, image: ImageSpec, registries: Sequence[RegistryAccess], report: Report) -> str:
        """Bring the image here as its source means it now, whole: what is damaged is fetched
        anew. Returns its id."""
        ...

    def tag(self, name: str, reference: str) -> None:
        """Let ``reference`` (complete) mean the image, too, whatever it meant before."""
        ...

    def push(self, reference: str, registries: Sequence[RegistryAccess], report: Report) -> str:
        """Bring the image that ``reference`` means to the registry of that name, unless it is
        there; returns the digest that it has there."""
        ...

    def leave_off(self) -> None:
        """For good, without waiting: what is being pulled or pushed ends soon with ``Stopped``,
        and nothing new of it begins. What has come is kept for the next pull."""
        ...

    def remove(self, name: str, *, force: bool) -> Removal:
        """Take a name away, and the image with its last name; by id all names, and several only
        with ``force``. Refused while a container was made from the image and no other name would
        be left; ``force`` then takes the names and leaves the image, but by id not while such a
        container runs. With the last tag of a repository go the image's digests there."""
        ...

    def prune(self, *, everything: bool, chosen: Callable[[ImageSummary], bool]) -> Removal:
        """Remove the images without a name (with ``everything``: all) that no container was made
        from and that ``chosen`` says yes to, and all data that no image needs."""
        ...

    def save(self, names: Sequence[str], out: int, form: ArchiveForm, report: Report) -> None:
        """Write the images, with the tags among ``names``, to the descriptor ``out``: a file or
        pipe."""
        ...

    def load(self, source: int, name: str, report: Report) -> tuple[Loaded, ...]:
        """Bring every image of an archive here, with its names, in either form and under any
        common compression. ``source`` is open for reading, a pipe will do; ``name`` is for
        messages."""
        ...

    def import_tree(
        self, source: int, name: str, reference: str, config: ImageDefaults, message: str,
        platform: str | None, report: Report,
    ) -> str:  # fmt: skip
        """Make an image of one layer from a tar of a file system; ``reference`` "" leaves it
        without a name. Returns its id."""
        ...

    def export(self, id: str, out: int, report: Report) -> None:
        """Write the container's file system, as one flat tar without volumes, to ``out``."""
        ...

    def verify(self, names: Sequence[str], report: Report) -> tuple[Damage, ...]:
        """Read all that the images (none named: every one) are made of and compare it with what
        it was. What is found damaged counts as not here, so that the next pull repairs it."""
        ...


class Registries(Protocol):
    """The verbs on registries. ``registries`` tells how to reach them; a host that is not among
    them is reached by the rules for everybody."""

    def check_login(self, access: RegistryAccess) -> None:
        """Raises ``AccessDenied`` when the registry refuses the username and password."""
        ...

    def search(
        self, host: str, term: str, limit: int, registries: Sequence[RegistryAccess]
    ) -> tuple[SearchHit, ...]:
        """Repositories whose name has ``term``, the best first: by the search of Docker Hub, or
        by the catalogue of a registry of one's own."""
        ...

    def tags(self, reference: str, registries: Sequence[RegistryAccess]) -> tuple[str, ...]:
        """Every tag of the reference's repository, in the registry's order."""
        ...

    def resolve(
        self, reference: str, registries: Sequence[RegistryAccess], platform: str | None
    ) -> Resolved:
        """What the reference means now; no layer is fetched."""
        ...

    def digest(self, reference: str, registries: Sequence[RegistryAccess]) -> str:
        """The digest that the reference's tag has now, asked once and briefly."""
        ...
