"""The search of Docker Hub: ``GET /v1/search?q=TERM&n=LIMIT`` (Docker Registry HTTP API v1)."""

from contextlib import closing
from urllib.parse import urlencode

from runtime.api import RegistryAccess, SearchHit
from runtime.embedded.registry.documents import LARGEST, read
from runtime.embedded.registry.faults import RegistryFailed
from runtime.embedded.registry.session import Session

_BASE = "https://index.docker.io"
_MOST = 100  # that it tells at a time


def search(
    term: str, limit: int, access: RegistryAccess, base: str = _BASE
) -> tuple[SearchHit, ...]:
    """Repositories that fit the term, as the Hub ranks them. Raises the registry's faults."""
    query = urlencode({"q": term, "n": min(limit, _MOST)})
    with closing(Session(access, base=base)) as session:
        document = read(session.get(f"{base}/v1/search?{query}", LARGEST), "search's answer")
    results = document.get("results")
    if not isinstance(results, list):
        raise RegistryFailed(access.host, "its search has no list of results")
    return tuple(_hit(each) for each in results[:limit] if isinstance(each, dict))


def _hit(found: dict[str, object]) -> SearchHit:
    stars = found.get("star_count")
    return SearchHit(
        name=str(found.get("name") or ""),
        description=str(found.get("description") or ""),
        stars=stars if isinstance(stars, int) else 0,
        official=found.get("is_official") is True,
    )
