"""The images and registries of the runtime in memory."""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from runtime.api import (
    ArchiveForm,
    Damage,
    HistoryRow,
    ImageDefaults,
    ImageDetails,
    ImageSpec,
    ImageSummary,
    Loaded,
    ObservedImage,
    Progress,
    Query,
    RegistryAccess,
    Removal,
    Report,
    Resolved,
    SearchHit,
)
from runtime.errors import Absent, Fault
from runtime.reference import BadReference, parse


class Effects(Protocol):
    """Where faults are injected and changes of the world are counted."""

    def verb(self, verb: str, what: str) -> AbstractContextManager[None]: ...

    def effect(self, text: str) -> None: ...


def image_id(name: str, version: int) -> str:
    return f"sha256:{hashlib.sha256(f'{name} {version}'.encode()).hexdigest()}"


class NoSuchImage(Absent):
    """The runtime in memory does not have it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the image {name} is not here", hint=f"trueup pull {name}")


class ImageInUse(Fault):
    """A container was made from it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the image {name} cannot be removed", why="a container was made from it")


def _whole(name: str) -> str:
    """The complete reference that a name is; "" when it is none."""
    try:
        return str(parse(name))
    except BadReference:
        return ""


class FakeImages:
    """``registry`` is what every registry has, ``local`` what is here, each by name; ``stale``
    says why what is here is not what is meant any more; ``pushed`` is what we sent where;
    ``silent`` says why a registry does not tell what a reference means; ``alone`` which of several
    platforms is here.

    ``facts`` are details of images by id, ``used`` ids that containers were made from, ``damage``
    is what ``verify`` finds; ``archive`` is what every archive holds. ``told`` is reported by each
    verb that takes long, ``heard`` what the last one was asked for."""

    def __init__(self, world: Effects) -> None:
        self.world = world
        self.registry: dict[str, str] = {}
        self.local: dict[str, str] = {}
        self.stale: dict[str, str] = {}
        self.pushed: dict[str, str] = {}
        self.silent: dict[str, str] = {}
        self.alone: dict[str, str] = {}
        self.facts: dict[str, ImageDetails] = {}
        self.used: set[str] = set()
        self.damage: list[Damage] = []
        self.archive: tuple[Loaded, ...] = ()
        self.told: list[Progress] = []
        self.left_off = threading.Event()
        self.heard: tuple[object, ...] = ()

    def states(self, query: Query) -> dict[str, ObservedImage]:
        return {image.name: self._state(image, query.offline) for image in query.images}

    def _state(self, image: ImageSpec, offline: bool) -> ObservedImage:
        name, id = image.name, self.local.get(image.name)
        return ObservedImage(
            name=name,
            id=id,
            stale=self.stale.get(name, ""),
            tags=tuple(tag for tag in image.tags if id and self.local.get(tag) == id),
            pushed=tuple(tag for tag in image.push if id and (offline or self._has(tag, id))),
            astray={
                tag: "its registry has not got it"
                for tag in image.push
                if id and not (offline or tag in self.pushed or tag in self.silent)
            },
            alone=self.alone.get(name, "") if image.push else "",
            unheard={
                each: self.silent[each]
                for each in (name, *image.push)
                if id and each in self.silent and not offline
            },
        )

    def _has(self, tag: str, id: str) -> bool:
        return self.pushed.get(tag) == id and tag not in self.silent

    def list(self) -> tuple[ImageSummary, ...]:
        return tuple(map(self._summary, sorted({*self.facts, *self.local.values()})))

    def _summary(self, id: str) -> ImageSummary:
        known = self._details(id)
        return ImageSummary(
            id=id,
            references=(*known.references, *known.digests),
            names=known.names,
            created=known.created,
            size=known.size,
            labels=known.defaults.labels,
            platform=known.platform,
        )

    def details(self, name: str) -> ImageDetails:
        return self._details(self._find(name))

    def _details(self, id: str) -> ImageDetails:
        names = sorted(name for name, each in self.local.items() if each == id)
        return msgspec.structs.replace(
            self.facts.get(id, ImageDetails(id=id)),
            references=tuple(each for each in names if "@" not in each),
            digests=tuple(each for each in names if "@sha256:" in each),
            names=tuple(each for each in names if "@" in each and "@sha256:" not in each),
        )

    def _find(self, name: str) -> str:
        """By name, by reference in any form, by id or its beginning."""
        if name in self.local:
            return self.local[name]
        if _whole(name) in self.local:
            return self.local[_whole(name)]
        for id in {*self.facts, *self.local.values()}:
            if name and id.removeprefix("sha256:").startswith(name.removeprefix("sha256:")):
                return id
        raise NoSuchImage(name)

    def pull(self, image: ImageSpec, registries: Sequence[RegistryAccess], report: Report) -> str:
        del registries
        with self.world.verb("pull", image.name):
            report(Progress(what=image.name, doing="downloading", done=1, total=2))
            self._tell(report)
            self.heard = (image.source,)
            self.world.effect(f"pull {image.name}")
            id = self.registry.setdefault(image.name, image_id(image.name, 1))
            self.local[image.name] = id
            self.stale.pop(image.name, None)
            return id

    def _tell(self, report: Report) -> None:
        for each in self.told:
            report(each)

    def tag(self, name: str, reference: str) -> None:
        with self.world.verb("tag", reference):
            id = self._find(name)
            self.world.effect(f"tag {reference}")
            self.local[reference] = id

    def push(self, reference: str, registries: Sequence[RegistryAccess], report: Report) -> str:
        del registries
        with self.world.verb("push", reference):
            id = self._find(reference)
            report(Progress(what=reference, doing="pushing", done=1, total=2))
            self._tell(report)
            self.world.effect(f"push {reference}")
            self.pushed[reference] = id
            return id

    def leave_off(self) -> None:
        self.left_off.set()

    def remove(self, name: str, *, force: bool) -> Removal:
        with self.world.verb("remove image", name):
            id = self._find(name)
            names = [each for each, known in self.local.items() if known == id]
            by_id = name.removeprefix("sha256:") in id
            given = [] if by_id else [each for each in names if each in (name, _whole(name))]
            if by_id and len(names) > 1 and not force:
                raise Fault(f"the image {name} has several names", hint="use --force")
            going = names if by_id or names == given else given
            last = len(going) == len(names)
            if last and id in self.used and not force:
                raise ImageInUse(name)
            self.world.effect(f"remove image {name}")
            return self._drop(id, going, gone=last and id not in self.used)

    def _drop(self, id: str, names: Sequence[str], *, gone: bool) -> Removal:
        size = self._details(id).size
        for each in names:
            del self.local[each]
        if not gone:
            self.facts.setdefault(id, ImageDetails(id=id))  # it stays, without a name
            return Removal(untagged=tuple(names))
        self.facts.pop(id, None)
        return Removal(untagged=tuple(names), deleted=(id,), freed=size)

    def prune(self, *, everything: bool, chosen: Callable[[ImageSummary], bool]) -> Removal:
        with self.world.verb("prune images", ""):
            going = [
                each
                for each in self.list()
                if each.id not in self.used
                and (everything or not (each.references or each.names))
                and chosen(each)
            ]
            self.world.effect("prune images")
            gone = [
                self._drop(each.id, [*each.references, *each.names], gone=True) for each in going
            ]
            return Removal(
                untagged=tuple(name for each in gone for name in each.untagged),
                deleted=tuple(id for each in gone for id in each.deleted),
                freed=sum(each.freed for each in gone),
            )

    def save(self, names: Sequence[str], out: int, form: ArchiveForm, report: Report) -> None:
        with self.world.verb("save", " ".join(names)):
            ids = [self._find(name) for name in names]
            self._tell(report)
            os.write(out, f"{form} {' '.join(ids)}\n".encode())
            self.heard = (tuple(names), form)
            self.world.effect("save")  # dies here with a part of it written

    def load(self, source: int, name: str, report: Report) -> tuple[Loaded, ...]:
        with self.world.verb("load", name):
            self._tell(report)
            self.heard = (os.read(source, 1 << 16), name)
            self.world.effect(f"load {name}")
            for each in self.archive:
                self.facts.setdefault(each.id, ImageDetails(id=each.id))
                self.local |= dict.fromkeys(each.references, each.id)
            return self.archive

    def import_tree(
        self, source: int, name: str, reference: str, config: ImageDefaults, message: str,
        platform: str | None, report: Report,
    ) -> str:  # fmt: skip
        with self.world.verb("import", name):
            self._tell(report)
            content = os.read(source, 1 << 16)
            self.heard = (content, name, reference, config, message, platform)
            self.world.effect(f"import {name}")
            id = image_id(content.decode(), 1)
            self.facts[id] = ImageDetails(
                id=id, defaults=config, history=(HistoryRow(comment=message),)
            )
            if reference:
                self.local[reference] = id
            return id

    def export(self, id: str, out: int, report: Report) -> None:
        with self.world.verb("export", id):
            self._tell(report)
            os.write(out, f"tree of {id}\n".encode())
            self.world.effect("export")

    def verify(self, names: Sequence[str], report: Report) -> tuple[Damage, ...]:
        with self.world.verb("verify", " ".join(names)):
            wanted = {self._find(name) for name in names}
            self._tell(report)
            return tuple(
                each for each in self.damage if not names or wanted.intersection(each.images)
            )


class FakeRegistries:
    """``resolved`` is what references mean, or why that cannot be told, ``tags_of`` the tags by
    repository, ``hits`` what a search finds by host, ``asked`` the searches."""

    def __init__(self) -> None:
        self.resolved: dict[str, Resolved | Fault] = {}
        self.tags_of: dict[str, tuple[str, ...]] = {}
        self.hits: dict[str, tuple[SearchHit, ...]] = {}
        self.asked: list[tuple[str, str, int]] = []

    def check_login(self, access: RegistryAccess) -> None:
        raise AssertionError(f"no plan logs in: {access}")

    def search(
        self, host: str, term: str, limit: int, registries: Sequence[RegistryAccess]
    ) -> tuple[SearchHit, ...]:
        del registries
        self.asked.append((host, term, limit))
        return self.hits.get(host, ())[:limit]

    def tags(self, reference: str, registries: Sequence[RegistryAccess]) -> tuple[str, ...]:
        del registries
        if reference not in self.tags_of:
            raise NoSuchImage(reference)
        return self.tags_of[reference]

    def resolve(
        self, reference: str, registries: Sequence[RegistryAccess], platform: str | None
    ) -> Resolved:
        del registries, platform
        found = self.resolved.get(reference) or NoSuchImage(reference)
        if isinstance(found, Fault):
            raise found
        return found

    def digest(self, reference: str, registries: Sequence[RegistryAccess]) -> str:
        return self.resolve(reference, registries, None).digest
