"""Many questions to others at a time. Who looks in passing takes what has come in time."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import TypeVar

from runtime.errors import Fault

Key = TypeVar("Key")
Answer = TypeVar("Answer")

_AT_A_TIME = 8
_AT_ONCE = 32  # in a hurry: who does not answer must not keep the others from being asked


class NoAnswer(Fault):
    """A registry took longer than there was time for."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


def ask_each(
    keys: Iterable[Key],
    ask: Callable[[Key], Answer],
    *,
    within: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Mapping[Key, Answer | Fault]:
    """What ``ask`` says of each, or the fault that it raises; several are asked at a time.

    After ``within`` seconds what has no answer gets ``NoAnswer``, its thread is left to itself,
    and nothing further is asked. Raises what else ``ask`` raises.
    """
    todo, mail = SimpleQueue[Key](), SimpleQueue[tuple[Key, Answer | BaseException]]()
    left = list(dict.fromkeys(keys))
    for key in left:
        todo.put(key)
    for _ in left[: _AT_A_TIME if within is None else _AT_ONCE]:
        threading.Thread(target=_work, args=(todo, ask, mail), daemon=True).start()
    end = None if within is None else clock() + within
    answers: dict[Key, Answer | Fault] = {}
    while len(answers) < len(left):
        try:
            key, answer = mail.get(timeout=None if end is None else max(0.0, end - clock()))
        except Empty:
            _drain(todo)
            break
        if isinstance(answer, BaseException) and not isinstance(answer, Fault):
            raise answer
        answers[key] = answer
    return {key: answers[key] if key in answers else NoAnswer(within or 0.0) for key in left}


def _work(
    todo: "SimpleQueue[Key]",
    ask: Callable[[Key], Answer],
    mail: "SimpleQueue[tuple[Key, Answer | BaseException]]",
) -> None:
    while True:
        try:
            key = todo.get_nowait()
        except Empty:
            return
        try:
            mail.put((key, ask(key)))
        except BaseException as error:  # noqa: BLE001  # the caller decides what it means
            mail.put((key, error))


def _drain(todo: "SimpleQueue[Key]") -> None:
    """Let nobody take anything more from it."""
    while True:
        try:
            todo.get_nowait()
        except Empty:
            return
