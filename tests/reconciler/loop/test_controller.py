"""The loop with real threads and a short clock."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.loop.controller import Wakes, run


@contextmanager
def looping(wakes: Wakes, looks: "Looks", interval: float = 60.0) -> Iterator[None]:
    thread = threading.Thread(
        target=run,
        args=(wakes, looks),
        kwargs={
            "failed": lambda _key, seconds: looks.retries.append(seconds),
            "interval": interval,
            "chance": lambda: 0.0,
        },
    )
    thread.start()
    try:
        yield
    finally:
        wakes.end()
        thread.join(5)
        assert not thread.is_alive()


class Looks:
    """A pass that answers from a list and can be waited for."""

    def __init__(self, answers: list[bool]) -> None:
        self.answers, self.causes, self.retries = answers, list[tuple[str, ...]](), list[float]()
        self.seen = threading.Semaphore(0)

    def __call__(self, key: str, causes: tuple[str, ...]) -> bool:
        self.causes.append(causes)
        self.seen.release()
        return self.answers.pop(0) if self.answers else True


def test_an_event_makes_a_pass_and_time_makes_the_next() -> None:
    wakes, looks = Wakes(), Looks([])
    with looping(wakes, looks, interval=0.05):
        wakes.ask("shop", "start")
        assert looks.seen.acquire(timeout=5)
        assert looks.seen.acquire(timeout=5)
    assert looks.causes[:2] == [("start",), ("resync",)]


def test_a_failed_pass_is_tried_again_and_the_loop_goes_on() -> None:
    wakes, looks = Wakes(), Looks([False])
    with looping(wakes, looks):
        wakes.ask("shop", "start")
        assert looks.seen.acquire(timeout=5)
        assert looks.seen.acquire(timeout=5)
    assert looks.retries == [1.0]
    assert looks.causes == [("start",), ("retry",)]


def test_the_end_is_heard_while_waiting() -> None:
    wakes = Wakes()
    with looping(wakes, Looks([])):
        pass
