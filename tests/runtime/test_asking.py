"""Many questions at a time, each with its answer, and none that is waited for too long."""

import threading
import time

import pytest

from runtime.asking import NoAnswer, ask_each
from runtime.errors import Fault


def test_each_gets_its_answer_or_its_fault() -> None:
    refused = Fault("no")

    def ask(key: int) -> int:
        if key == 2:
            raise refused
        return key * 10

    assert ask_each([1, 2, 3, 1], ask) == {1: 10, 2: refused, 3: 30}
    assert ask_each([], ask) == {}


def test_they_are_asked_at_the_same_time() -> None:
    meeting = threading.Barrier(5, timeout=10)
    assert set(ask_each(range(5), lambda _: meeting.wait())) == set(range(5))


def test_more_than_there_are_threads_for_are_asked_too() -> None:
    assert ask_each(range(100), lambda key: -key) == {key: -key for key in range(100)}


def test_who_takes_too_long_is_left_to_himself() -> None:
    never = threading.Event()
    began = time.monotonic()
    answers = ask_each(["here", "there"], lambda key: key == "here" or never.wait(30), within=0.3)
    never.set()
    assert time.monotonic() - began < 10
    assert answers["here"] is True
    late = answers["there"]
    assert isinstance(late, NoAnswer)
    assert late.what == "no answer within 0.3 s"


def test_who_takes_too_long_keeps_nobody_else_from_being_asked() -> None:
    came = threading.Event()

    def ask(key: int) -> bool:
        if key == 20:
            came.set()
        return came.wait(60)

    assert ask_each(range(21), ask, within=30.0)[20] is True


def test_when_the_time_is_over_nothing_further_is_asked() -> None:
    never, heard = threading.Event(), set[int]()

    def ask(key: int) -> bool:
        heard.add(key)
        return never.wait(30)

    before = set(threading.enumerate())
    ask_each(range(1000), ask, within=0.3)
    never.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert len(heard) < 1000


def test_a_defect_is_no_answer() -> None:
    with pytest.raises(ZeroDivisionError):
        ask_each([0], lambda key: 1 // key)
