"""The verbs on registries."""

from collections.abc import Sequence

from runtime.api import RegistryAccess, Resolved, SearchHit


class RegistryVerbs:
    """Implements ``runtime.api.Registries``."""

    def check_login(self, access: RegistryAccess) -> None:
        raise NotImplementedError(access)

    def search(
        self, host: str, term: str, limit: int, registries: Sequence[RegistryAccess]
    ) -> tuple[SearchHit, ...]:
        raise NotImplementedError(host, term, limit, registries)

    def tags(self, reference: str, registries: Sequence[RegistryAccess]) -> tuple[str, ...]:
        raise NotImplementedError(reference, registries)

    def resolve(
        self, reference: str, registries: Sequence[RegistryAccess], platform: str | None
    ) -> Resolved:
        raise NotImplementedError(reference, registries, platform)

    def digest(self, reference: str, registries: Sequence[RegistryAccess]) -> str:
        raise NotImplementedError(reference, registries)
