"""The verbs on images: what is here by the store, what is in use by the ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.api import (
    ArchiveForm,
    Damage,
    ImageDefaults,
    ImageDetails,
    ImageSpec,
    ImageSummary,
    Loaded,
    RegistryAccess,
    Removal,
    Report,
)
from runtime.embedded import boot
from runtime.embedded.containers.export import Exporter
from runtime.embedded.ledger import Ledger
from runtime.embedded.paths import Paths
from runtime.embedded.store.details import details
from runtime.embedded.store.faults import TagWithDigest
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.importing import Importer
from runtime.embedded.store.loading import load
from runtime.embedded.store.removing import Remover
from runtime.embedded.store.saving import Saver
from runtime.embedded.store.verify import Verifier
from runtime.reference import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVerbs:
    """Implements ``runtime.api.Images``; ``is_over`` tells of a container (id)
    that it does not run."""

    paths: Paths
    store: ImageStore
    ledger: Ledger
    is_over: Callable[[str], bool]

    def list(self) -> tuple[ImageSummary, ...]:
        return self.store.list()

    def details(self, name: str) -> ImageDetails:
        return details(self.store, name)

    def pull(self, image: ImageSpec, registries: Sequence[RegistryAccess], report: Report) -> str:
        boot.prepare(self.paths)
        with self.store.stop.heeded():
            return self.store.ensure(image, registries, report).id

    def tag(self, name: str, reference: str) -> None:
        wanted = parse(reference)
        if wanted.digest:
            raise TagWithDigest(reference)
        self.store.tag(name, wanted)

    def push(self, reference: str, registries: Sequence[RegistryAccess], report: Report) -> str:
        from runtime.embedded.registry.endpoints import access_to
        from runtime.embedded.store.pushing import push

        wanted = parse(reference)
        with self.store.stop.heeded():
            return push(self.store, wanted, access_to(wanted.host, registries), report)

    def leave_off(self) -> None:
        self.store.stop.end()

    def remove(self, name: str, *, force: bool) -> Removal:
        return self._remover.remove(name, force=force)

    def prune(self, *, everything: bool, chosen: Callable[[ImageSummary], bool]) -> Removal:
        return self._remover.prune(everything=everything, chosen=chosen)

    def save(self, names: Sequence[str], out: int, form: ArchiveForm, report: Report) -> None:
        Saver(self.store, out, report).save(names, form)

    def load(self, source: int, name: str, report: Report) -> tuple[Loaded, ...]:
        boot.prepare(self.paths)
        return load(self.store, source, name, report)

    def import_tree(
        self, source: int, name: str, reference: str, config: ImageDefaults, message: str,
        platform: str | None, report: Report,
    ) -> str:  # fmt: skip
        boot.prepare(self.paths)
        importer = Importer(store=self.store, report=report)
        return importer.run(source, name, reference, config, message, platform)

    def export(self, id: str, out: int, report: Report) -> None:
        Exporter(paths=self.paths, store=self.store, ledger=self.ledger, report=report).run(id, out)

    def verify(self, names: Sequence[str], report: Report) -> tuple[Damage, ...]:
        return Verifier(self.store, report).verify(names)

    @property
    def _remover(self) -> Remover:
        return Remover(self.store, self._users)

    def _users(self) -> dict[str, dict[str, bool]]:
        """By image id the containers that were made from it, whatever became of them: whether one
        of a container's generations runs."""
        users: dict[str, dict[str, bool]] = {}
        for row in self.ledger.state().containers.values():
            named, name = users.setdefault(row.image, {}), str(row.key)
            named[name] = named.get(name, False) or not self.is_over(row.id)
        return users
