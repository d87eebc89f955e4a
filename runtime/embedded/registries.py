"""The verbs on registries."""

from collections.abc import Sequence
from contextlib import closing

from runtime.api import RegistryAccess, Resolved, SearchHit
from runtime.embedded.registry import hub, image_config, manifest
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.endpoints import access_to, first_answer, own_answer
from runtime.embedded.registry.faults import AccessDenied, NotInRegistry
from runtime.embedded.registry.manifest import Index, Platform, wanted_platform
from runtime.embedded.registry.session import Session
from runtime.embedded.registry.transport import BRIEF
from runtime.reference import DEFAULT_HOST, Reference, parse


class RegistryVerbs:
    """Implements ``runtime.api.Registries``."""

    def check_login(self, access: RegistryAccess) -> None:
        with closing(Session(access)) as session:
            session.check_login()

    def search(
        self, host: str, term: str, limit: int, registries: Sequence[RegistryAccess]
    ) -> tuple[SearchHit, ...]:
        access = access_to(host, registries)
        if host == DEFAULT_HOST:
            return hub.search(term, limit, access)
        with closing(Client(access)) as client:
            names = sorted(name for name in client.catalogue() if term.lower() in name)
            names.sort(key=lambda name: (term.lower() not in name.split("/"), len(name)))
            return tuple(
                SearchHit(name=name, tags=_tags(client, _repository(host, name)))
                for name in names[:limit]
            )

    def tags(self, reference: str, registries: Sequence[RegistryAccess]) -> tuple[str, ...]:
        return tuple(own_answer(parse(reference), registries, Client.tags))

    def resolve(
        self, reference: str, registries: Sequence[RegistryAccess], platform: str | None
    ) -> Resolved:
        def ask(client: Client, there: Reference) -> Resolved:
            return _resolved(client, there, reference, wanted_platform(platform))

        return first_answer(parse(reference), registries, ask)

    def digest(self, reference: str, registries: Sequence[RegistryAccess]) -> str:
        return first_answer(parse(reference), registries, Client.digest, tries=1, pace=BRIEF)


def _tags(client: Client, repository: Reference) -> tuple[str, ...]:
    """None of a repository that is listed only: all of it was deleted, or it is not for us."""
    try:
        return tuple(client.tags(repository))
    except (AccessDenied, NotInRegistry):
        return ()


def _repository(host: str, name: str) -> Reference:
    return Reference(host=host, repository=name, tag="latest")


def _resolved(client: Client, there: Reference, reference: str, wanted: Platform) -> Resolved:
    """Manifests and configurations only; of an index the platforms that it names."""
    top = client.manifest(there)
    documents = {top.digest: top.raw}
    made_of = client.chosen(there, top, wanted, documents)
    image = image_config.parse(client.document(there, made_of.config))
    platforms: dict[str, str] = {}
    for raw in documents.values():
        found = manifest.parse(raw)
        if isinstance(found, Index):
            platforms |= found.platforms
    return Resolved(
        reference=reference,
        digest=top.digest,
        platforms=platforms or {str(image.platform): list(documents)[-1]},
        created=image.created,
    )
