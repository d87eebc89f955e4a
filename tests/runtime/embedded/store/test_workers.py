"""Layers side by side: how they end."""

import threading
from queue import Empty

import pytest

from runtime.embedded.linux import files
from runtime.embedded.store.blobs import arrival
from runtime.embedded.store.faults import StoreBusy
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.workers import Workers
from runtime.errors import Stopped
from tests.runtime.embedded.registry.hostile import digest
from tests.runtime.embedded.store.stocks import PLAIN, silent


def test_every_job_is_done() -> None:
    done: list[int] = []
    Workers(silent).run(done.append, range(20))
    assert sorted(done) == list(range(20))
    Workers(silent).run(done.append, [])


def test_the_first_failure_ends_those_that_wait_and_begins_no_further_one() -> None:
    workers, begun = Workers(silent), set[int]()
    ended: list[BaseException] = []

    def work(job: int) -> None:
        begun.add(job)
        if job == 2:
            raise ValueError("the third")
        try:
            workers.stop.sleep(60)
        except Stopped as stopped:
            ended.append(stopped)
            raise

    with pytest.raises(ValueError, match="the third"):
        workers.run(work, range(20))
    assert begun == {0, 1, 2}
    assert len(ended) == 2


def test_nobody_waits_for_one_that_cannot_be_ended() -> None:
    workers, over, waits = Workers(silent), threading.Event(), threading.Event()

    def work(job: int) -> None:
        if job == 0:
            waits.set()
            over.wait()
        waits.wait()
        raise ValueError("the second")

    with pytest.raises(ValueError, match="the second"):
        workers.run(work, range(2))
    over.set()


@pytest.mark.root
def test_who_removes_waits_for_one_that_was_left_to_itself_with_a_layer(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.embedded.store.workers._LAST_WORK", 0.1)
    sync, syncs, over = files.sync_file_system, threading.Event(), threading.Event()

    def slowly(fd: int) -> None:
        syncs.set()
        over.wait()
        sync(fd)

    monkeypatch.setattr(files, "sync_file_system", slowly)
    workers = Workers(silent)

    def work(job: int) -> None:
        if job == 0:
            pieces = iter([PLAIN])
            store.unpacker.add(digest(PLAIN), lambda: arrival(store.layout, pieces))
        syncs.wait()
        raise ValueError("the second")

    with pytest.raises(ValueError, match="the second"), store.adding():
        workers.run(work, range(2))
    store.layout.sweep()
    try:
        with pytest.raises(StoreBusy), store.layout.removing():
            pass
    finally:
        over.set()
    with store.layout.removing(20):
        assert store.unpacker.whole(digest(PLAIN))


def test_a_job_that_finds_something_empty_has_failed() -> None:
    def work(_job: int) -> None:
        raise Empty

    with pytest.raises(Empty):
        Workers(silent).run(work, range(2))
