"""The thread that lends the runtime its time for logs."""

import time
from collections.abc import Collection

from reconciler.loop.log_keeping import LogKeeping
from tests.eventually import eventually


class Keeper:
    """Notes for whom it was asked, and fails as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.failure = ""

    def keep_logs(self, projects: Collection[str], timeout: float) -> None:
        self.asked.append(tuple(projects))
        time.sleep(timeout / 50)
        if self.failure:
            raise OSError(self.failure)


def test_it_asks_for_the_projects_that_there_are_now_until_it_is_closed() -> None:
    keeper, projects = Keeper(), ["shop"]
    keeping = LogKeeping(keeper, lambda: tuple(projects), lambda _: None)
    eventually(lambda: len(keeper.asked) > 2)
    projects.append("blog")
    eventually(lambda: keeper.asked[-1] == ("shop", "blog"))
    keeping.close()
    asked = len(keeper.asked)
    time.sleep(0.1)
    assert len(keeper.asked) == asked


def test_a_failure_is_told_once_and_ends_nothing() -> None:
    keeper, told = Keeper(), list[str]()
    keeper.failure = "disk"
    keeping = LogKeeping(keeper, lambda: ("shop",), lambda error: told.append(str(error)))
    eventually(lambda: len(keeper.asked) > 2)
    keeper.failure = ""
    count = len(keeper.asked)
    eventually(lambda: len(keeper.asked) > count + 2)
    keeper.failure = "disk"
    eventually(lambda: len(told) == 2)
    keeping.close()
    assert told == ["disk", "disk"]
