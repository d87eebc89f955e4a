"""Lists of tags and repositories, page by page, from registries that never end or lead elsewhere;
the search of Docker Hub."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from runtime.api import RegistryAccess, SearchHit
from runtime.embedded.registries import RegistryVerbs
from runtime.embedded.registry import hub
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.registry.faults import AccessDenied, NotInRegistry, RegistryFailed
from runtime.reference import Reference
from tests.runtime.embedded.registry.hostile import Answer, Asked, Server

TAGS = "/v2/app/tags/list"


def reference(server: Server) -> Reference:
    return Reference(host=server.host, repository="app", tag="latest")


def tags(server: Server) -> list[str]:
    return Client(RegistryAccess(host=server.host), sleep=lambda _: None).tags(reference(server))


def page(key: str, names: object, following: str = "") -> Answer:
    link = {"Link": f'<{following}>; rel="next"'} if following else {}
    return Answer(body=json.dumps({"name": "app", key: names}).encode(), headers=link)


def after(asked: Asked) -> str:
    return parse_qs(urlsplit(asked.path).query).get("last", [""])[0]


def test_all_pages_are_read_in_their_order(server: Server) -> None:
    def ask(asked: Asked) -> Answer:
        last = after(asked)
        following = {"": f"{TAGS}?n=2&last=b", "b": f"{server.url}{TAGS}?last=d"}.get(last, "")
        return page("tags", {"": ["a", "b"], "b": ["c", "d"]}.get(last, ["z"]), following)

    server.routes[TAGS] = ask
    assert tags(server) == ["a", "b", "c", "d", "z"]


def test_what_is_no_tag_is_left_out(server: Server) -> None:
    names = ["ok", "../x", "", "a/b", "\x1b[31m", "x" * 128, "x" * 129, "1.0-rc.1_x"]
    server.routes[TAGS] = page("tags", names)
    assert tags(server) == ["ok", "x" * 128, "1.0-rc.1_x"]


def test_a_repository_without_tags_has_none(server: Server) -> None:
    server.routes[TAGS] = page("tags", None)
    assert tags(server) == []


@pytest.mark.parametrize("names", [{}, "abc", [1], [None], 5])
def test_what_is_no_list_of_texts_is_refused(server: Server, names: object) -> None:
    server.routes[TAGS] = page("tags", names or {"a": 1})
    with pytest.raises(RegistryFailed, match="not one of texts"):
        tags(server)


def test_what_is_no_document_is_refused(server: Server) -> None:
    server.routes[TAGS] = Answer(body=b"<html>")
    with pytest.raises(BadDocument):
        tags(server)


def test_a_repository_that_is_not_there(server: Server) -> None:
    with pytest.raises(NotInRegistry):
        tags(server)


def test_a_list_that_says_the_same_for_ever_is_left(server: Server) -> None:
    server.routes[TAGS] = page("tags", ["a"], f"{TAGS}?last=a")
    with pytest.raises(RegistryFailed, match="nothing new"):
        tags(server)
    assert len(server.asked) == 2


def test_a_list_without_an_end_is_left(server: Server) -> None:
    def ask(asked: Asked) -> Answer:
        first = int(after(asked) or 0)
        names = [str(number) for number in range(first, first + 20_000)]
        return page("tags", names, f"{TAGS}?last={first + 20_000}")

    server.routes[TAGS] = ask
    with pytest.raises(RegistryFailed, match="more than 100,000 names"):
        tags(server)
    assert len(server.asked) == 6


def test_a_list_of_a_name_a_page_is_left(server: Server) -> None:
    def ask(asked: Asked) -> Answer:
        number = int(after(asked) or 0)
        return page("tags", [str(number)], f"{TAGS}?last={number + 1}")

    server.routes[TAGS] = ask
    with pytest.raises(RegistryFailed, match="more than 1,000 pages"):
        tags(server)
    assert len(server.asked) == 1000


def test_the_next_page_is_not_fetched_from_elsewhere(server: Server, other: Server) -> None:
    other.routes[TAGS] = page("tags", ["b"])
    for place in (f"{other.url}{TAGS}", f"//{other.host}{TAGS}"):
        server.routes[TAGS] = page("tags", ["a"], place)
        with pytest.raises(RegistryFailed, match="goes on at"):
            tags(server)
    assert other.asked == []


@pytest.mark.parametrize("place", ["file:///etc/passwd", "http://a:b@127.0.0.1/", "http://[/"])
def test_the_next_page_is_nowhere_strange(server: Server, place: str) -> None:
    server.routes[TAGS] = page("tags", ["a"], place)
    with pytest.raises(RegistryFailed, match="leads to"):
        tags(server)


# --- searching ------------------------------------------------------------------------------------


def search(server: Server, term: str, limit: int = 25) -> list[tuple[str, tuple[str, ...]]]:
    hits = RegistryVerbs().search(server.host, term, limit, ())
    return [(hit.name, hit.tags) for hit in hits]


def test_a_registry_of_ones_own_is_searched_by_its_list(server: Server) -> None:
    names = ["team/postgres-backup", "postgres", "library/postgres", "redis", "Evil", "../postgres"]
    server.routes["/v2/_catalog"] = page("repositories", names)
    for name in ("postgres", "library/postgres"):
        server.routes[f"/v2/{name}/tags/list"] = page("tags", ["16", "17"])
    assert search(server, "Postgres") == [
        ("postgres", ("16", "17")),
        ("library/postgres", ("16", "17")),
        ("team/postgres-backup", ()),  # listed, but all of its tags are deleted
    ]
    assert search(server, "postgres", 1) == [("postgres", ("16", "17"))]
    assert search(server, "nothing") == []


def test_a_registry_that_has_no_list_says_so(server: Server) -> None:
    with pytest.raises(RegistryFailed, match="no list of its repositories"):
        search(server, "x")


def test_a_list_that_is_not_for_everybody(server: Server) -> None:
    server.routes["/v2/_catalog"] = Answer(status=401)
    with pytest.raises(AccessDenied) as refused:
        search(server, "x")
    assert refused.value.what == f"no access to {server.host}"


def hub_search(server: Server, limit: int = 25) -> tuple[SearchHit, ...]:
    return hub.search("ng inx", limit, RegistryAccess(host="docker.io"), server.url)


def test_docker_hub_is_searched(server: Server) -> None:
    results = [
        {"name": "nginx", "description": "Build.", "star_count": 20, "is_official": True},
        {"name": "b/nginx", "description": None, "star_count": "x", "is_official": "yes"},
        "strange",
    ]
    server.routes["/v1/search"] = Answer(body=json.dumps({"results": results}).encode())
    assert hub_search(server) == (
        SearchHit(name="nginx", description="Build.", stars=20, official=True),
        SearchHit(name="b/nginx"),
    )
    assert server.paths() == ["/v1/search?q=ng+inx&n=25"]
    assert len(hub_search(server, 1)) == 1


def test_docker_hub_is_asked_for_a_hundred_at_most(server: Server) -> None:
    server.routes["/v1/search"] = Answer(body=b'{"results": []}')
    assert hub_search(server, 5000) == ()
    assert server.paths() == ["/v1/search?q=ng+inx&n=100"]


@pytest.mark.parametrize("body", [b"{}", b'{"results": 5}', b'{"results": {}}'])
def test_a_search_without_results_is_refused(server: Server, body: bytes) -> None:
    server.routes["/v1/search"] = Answer(body=body)
    with pytest.raises(RegistryFailed, match="results"):
        hub_search(server)


def test_a_search_that_fails_is_named_with_its_status(server: Server) -> None:
    with pytest.raises(RegistryFailed, match="404"):
        hub_search(server)
