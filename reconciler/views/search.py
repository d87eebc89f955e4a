"""The rows of ``search``, as Docker has them."""

from collections.abc import Sequence

from reconciler.views.terminal import cut
from runtime.api import SearchHit
from runtime.reference import DEFAULT_HOST

COLUMNS = ("Name", "Description", "StarCount", "IsOfficial")
TAG_COLUMNS = ("Name", "Tag")
TITLES = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "Tags": "TAGS",
    "Tag": "TAG",
}
_WIDEST = 45


def rows(host: str, hits: Sequence[SearchHit], *, full: bool) -> list[dict[str, object]]:
    """A row per repository, called so that `pull` finds it; ``full`` does not cut descriptions."""
    return [
        {
            "Name": named(host, each.name),
            "Description": _line(each.description, full=full),
            "StarCount": str(each.stars),
            "IsOfficial": "[OK]" if each.official else "",
            "Tags": ",".join(each.tags),
        }
        for each in hits
    ]


def named(host: str, repository: str) -> str:
    """With the host, but for the default one."""
    whole = host == DEFAULT_HOST or repository.startswith(f"{host}/")
    return repository if whole else f"{host}/{repository}"


def _line(description: str, *, full: bool) -> str:
    one = " ".join(description.split())
    return one if full else cut(one, _WIDEST)
