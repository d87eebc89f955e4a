"""The images and registries of the runtime in memory."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from runtime.api import (
    ArchiveForm,
    Damage,
    ImageDefaults,
    ImageDetails,
    ImageSpec,
    ImageSummary,
    Loaded,
    ObservedImage,
    Progress,
    RegistryAccess,
    Removal,
    Report,
    Resolved,
    SearchHit,
)


class Effects(Protocol):
    """Where faults are injected and changes of the world are counted."""

    def verb(self, verb: str, what: str) -> AbstractContextManager[None]: ...

    def effect(self, text: str) -> None: ...


def image_id(name: str, version: int) -> str:
    return f"sha256:{hashlib.sha256(f'{name} {version}'.encode()).hexdigest()}"


class FakeImages:
    """``registry`` is what every registry has, ``local`` what is here, each by name; ``stale``
    says why what is here is not what is meant any more; ``pushed`` is what we sent where."""

    def __init__(self, world: Effects) -> None:
        self.world = world
        self.registry: dict[str, str] = {}
        self.local: dict[str, str] = {}
        self.stale: dict[str, str] = {}
        self.pushed: dict[str, str] = {}

    def state(self, image: ImageSpec) -> ObservedImage:
        name, id = image.name, self.local.get(image.name)
        return ObservedImage(
            name=name,
            id=id,
            stale=self.stale.get(name, ""),
            tags=tuple(tag for tag in image.tags if id and self.local.get(tag) == id),
            pushed=tuple(tag for tag in image.tags if id and self.pushed.get(tag) == id),
        )

    def list(self) -> tuple[ImageSummary, ...]:
        return tuple(
            ImageSummary(id=id, references=(name,)) for name, id in sorted(self.local.items())
        )

    def details(self, name: str) -> ImageDetails:
        return ImageDetails(id=self.local[name], references=(name,))

    def pull(self, image: ImageSpec, registries: Sequence[RegistryAccess], report: Report) -> str:
        del registries
        with self.world.verb("pull", image.name):
            report(Progress(what=image.name, doing="downloading", done=1, total=2))
            self.world.effect(f"pull {image.name}")
            id = self.registry.setdefault(image.name, image_id(image.name, 1))
            self.local[image.name] = id
            self.stale.pop(image.name, None)
            return id

    def tag(self, name: str, reference: str) -> None:
        with self.world.verb("tag", reference):
            self.world.effect(f"tag {reference}")
            self.local[reference] = self.local[name]

    def push(self, reference: str, registries: Sequence[RegistryAccess], report: Report) -> str:
        del registries
        with self.world.verb("push", reference):
            report(Progress(what=reference, doing="pushing", done=1, total=2))
            self.world.effect(f"push {reference}")
            self.pushed[reference] = self.local[reference]
            return self.pushed[reference]

    def remove(self, name: str, *, force: bool) -> Removal:
        raise AssertionError(f"no plan removes images: {name} {force}")

    def prune(self, *, everything: bool, chosen: Callable[[ImageSummary], bool]) -> Removal:
        raise AssertionError(f"no plan prunes images: {everything} {chosen}")

    def save(self, names: Sequence[str], out: int, form: ArchiveForm, report: Report) -> None:
        raise AssertionError(f"no plan saves images: {names} {out} {form} {report}")

    def load(self, source: int, name: str, report: Report) -> tuple[Loaded, ...]:
        raise AssertionError(f"no plan loads images so: {source} {name} {report}")

    def import_tree(
        self, source: int, name: str, reference: str, config: ImageDefaults, message: str,
        platform: str | None, report: Report,
    ) -> str:  # fmt: skip
        raise AssertionError(
            f"no plan imports: {source} {name} {reference} {config} {message} {platform} {report}"
        )

    def export(self, id: str, out: int, report: Report) -> None:
        raise AssertionError(f"no plan exports: {id} {out} {report}")

    def verify(self, names: Sequence[str], report: Report) -> tuple[Damage, ...]:
        raise AssertionError(f"no plan verifies: {names} {report}")


class FakeRegistries:
    """``resolved`` is what references mean, ``tags_of`` the tags by repository."""

    def __init__(self) -> None:
        self.resolved: dict[str, Resolved] = {}
        self.tags_of: dict[str, tuple[str, ...]] = {}

    def check_login(self, access: RegistryAccess) -> None:
        raise AssertionError(f"no plan logs in: {access}")

    def search(
        self, host: str, term: str, limit: int, registries: Sequence[RegistryAccess]
    ) -> tuple[SearchHit, ...]:
        raise AssertionError(f"no plan searches: {host} {term} {limit} {registries}")

    def tags(self, reference: str, registries: Sequence[RegistryAccess]) -> tuple[str, ...]:
        del registries
        return self.tags_of[reference]

    def resolve(
        self, reference: str, registries: Sequence[RegistryAccess], platform: str | None
    ) -> Resolved:
        del registries, platform
        return self.resolved[reference]

    def digest(self, reference: str, registries: Sequence[RegistryAccess]) -> str:
        del registries
        return self.resolved[reference].digest
