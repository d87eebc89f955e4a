"""Clients that ask all the time, so that a request which fails is seen."""

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from typing import Self

from tests.scenarios.stage import Stage, answer


class Clients(ABC):
    """Threads that ask again and again until the block ends; ``pause`` in seconds from one request
    of a thread to its next."""

    def __init__(self, *, threads: int, pause: float) -> None:
        self._pause = pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            self._ask()

    @abstractmethod
    def _ask(self) -> None:
        """One request, on a connection of its own; keeps what came of it."""


class Load(Clients):
    """Fetches a page of a published port. ``said`` counts the answers, ``last`` has when each was
    heard last (monotonic)."""

    def __init__(
        self, stage: Stage, port: int, *, path: str = "/", threads: int = 4, pause: float = 0.01
    ) -> None:
        super().__init__(threads=threads, pause=pause)
        self.said: Counter[str] = Counter()
        self.last: dict[str, float] = {}
        self._stage, self._port, self._path = stage, port, path

    def failures(self, known: str) -> dict[str, int]:
        """The answers that do not begin with ``known``, and how often they came."""
        return {text: times for text, times in self.said.items() if not text.startswith(known)}

    def _ask(self) -> None:
        text = answer(self._stage.host, "127.0.0.1", self._port, path=self._path)
        self.said[text] += 1
        self.last[text] = time.monotonic()
