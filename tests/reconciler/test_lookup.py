"""Which container a word means."""

import pytest

from reconciler.lookup import Ambiguous, NoSuchContainer, find
from runtime.api import ContainerKey, ObservedContainer, Phase, container_id


def _container(
    project: str, name: str, replica: int = 1, generation: int = 1, phase: Phase = Phase.RUNNING
) -> ObservedContainer:
    key = ContainerKey(project=project, name=name, replica=replica)
    return ObservedContainer(
        key=key, id=container_id(key, generation), generation=generation, phase=phase
    )


SHOP_WEB = _container("shop", "web")
SHOP_WEB_2 = _container("shop", "web", replica=2)
SHOP_DB = _container("shop", "db", generation=2)
SHOP_DB_OLD = _container("shop", "db", generation=1, phase=Phase.EXITED)
BLOG_WEB = _container("blog", "web")
ALL = (SHOP_WEB, SHOP_WEB_2, SHOP_DB_OLD, SHOP_DB, BLOG_WEB)


@pytest.mark.parametrize(
    ("word", "container"),
    [
        ("shop/web", SHOP_WEB),
        ("shop/web.1", SHOP_WEB),
        ("shop/web.2", SHOP_WEB_2),
        ("web.2", SHOP_WEB_2),
        ("db", SHOP_DB),
        (SHOP_DB_OLD.id, SHOP_DB_OLD),
        (BLOG_WEB.id[:12].upper(), BLOG_WEB),
    ],
)
def test_a_name_or_an_id_finds_its_container(word: str, container: ObservedContainer) -> None:
    assert find(word, ALL) is container


def test_of_two_generations_the_living_one_is_meant_else_the_newest() -> None:
    newer_but_dead = _container("shop", "db", generation=3, phase=Phase.EXITED)
    assert find("db", (*ALL, newer_but_dead)) is SHOP_DB
    assert find("db", (SHOP_DB_OLD, newer_but_dead)) is newer_but_dead


def test_a_name_of_two_projects_is_ambiguous() -> None:
    with pytest.raises(Ambiguous) as caught:
        find("web", ALL)
    assert str(caught.value) == "`web` could be blog/web or shop/web\n  write more of it"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NoSuchContainer) as caught:
        find("shop/wbe", ALL)
    assert str(caught.value) == "there is no container `shop/wbe`\n  did you mean `shop/web`?"
    with pytest.raises(NoSuchContainer):
        find("", ALL)
