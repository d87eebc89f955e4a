"""When a key is looked at, told by the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.loop.queue import GAP, LONGEST_RETRY, Queue, back_off


def test_a_key_stands_once_at_the_earliest_time_with_all_causes() -> None:
    queue = Queue()
    queue.ask("shop", 30.0, "resync")
    queue.ask("shop", 5.0, "spec")
    queue.ask("shop", 9.0, "runtime")
    assert queue.next_due() == 5.0
    assert queue.take(4.9) is None
    queue.ask("shop", 4.0, "spec")
    assert queue.take(5.0) == ("shop", ("spec",))
    assert queue.take(99.0) is None


def test_the_key_that_waits_longest_comes_first() -> None:
    queue = Queue()
    queue.ask("b", 2.0, "spec")
    queue.ask("a", 3.0, "spec")
    assert [queue.take(9.0), queue.take(9.0)] == [("b", ("spec",)), ("a", ("spec",))]


def test_after_a_failure_events_wait_for_the_back_off_but_a_new_spec_does_not() -> None:
    queue = Queue()
    assert queue.failed("shop", 10.0, chance=0.0) == 1.0
    queue.ask("shop", 10.1, "runtime")
    assert queue.next_due() == 11.0
    queue.ask("shop", 10.2, "spec", urgent=True)
    assert queue.next_due() == 10.1


def test_failures_double_the_back_off_and_a_success_ends_it() -> None:
    queue = Queue()
    assert [queue.failed("a", 0.0, 0.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    queue.succeeded("a", 100.0)
    assert queue.failed("a", 200.0, 0.0) == 1.0


def test_passes_that_events_ask_for_keep_a_gap() -> None:
    queue = Queue()
    queue.ask("a", 10.1, "runtime")  # while the pass ran
    queue.succeeded("a", 10.2)
    assert queue.next_due() == pytest.approx(10.2 + GAP)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_back_off_is_bounded(failures: int, chance: float) -> None:
    assert 1.0 <= back_off(failures, chance) <= LONGEST_RETRY * 1.2
