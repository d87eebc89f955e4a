"""``watch`` and the lock file: it is a file of the spec, and with --frozen it decides."""

from pathlib import Path

import pytest

from reconciler.lock_file import NotLocked
from reconciler.trees import member, read_tree
from specs.lock import Lock, Pin, render
from tests.eventually import eventually
from tests.reconciler.loop.watching import SPEC, Stage

ONE = Pin(digest=f"sha256:{1:064x}")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def _lock(stage: Stage, *references: str) -> None:
    """Somebody saves a lock file with these entries."""
    text = render(Lock(path="", pins=dict.fromkeys(references, ONE)))
    (stage.folder / "trueup.lock").write_text(text)


def test_what_is_saved_is_heard_and_what_is_damaged_is_no_lock_file(stage: Stage) -> None:
    def script() -> None:
        eventually(stage.running)
        _lock(stage, "redis:7")
        eventually(lambda: "lacks nginx:1.27 and still has redis:7" in stage.log.getvalue())
        (stage.folder / "trueup.lock").write_text("<<<<<<< HEAD\n")
        eventually(lambda: "trueup.lock:1:" in stage.log.getvalue())
        _lock(stage, "nginx:1.27")
        eventually(lambda: "spec ok" in stage.log.getvalue())

    log = stage.play(script, interval=600)
    assert log.count("event=note") == 1
    assert stage.running() == ["web"]


def test_frozen_keeps_the_last_spec_until_everything_is_locked(stage: Stage) -> None:
    _lock(stage, "nginx:1.27")

    def script() -> None:
        eventually(stage.running)
        stage.spec.write_text(SPEC.replace("}}", "}, cache: {image: 'redis:7'}}"))
        eventually(lambda: "has no entry for redis:7" in stage.log.getvalue())
        assert stage.running() == ["web"]
        _lock(stage, "nginx:1.27", "redis:7")
        eventually(lambda: sorted(stage.running()) == ["cache", "web"])

    stage.play(script, interval=600, frozen=True)


def test_frozen_does_not_begin_without_a_lock_file(stage: Stage) -> None:
    with pytest.raises(NotLocked):
        member(stage.spec, frozen=True)


def test_a_tree_leaves_out_what_is_not_locked(stage: Stage) -> None:
    tree = read_tree(stage.folder, frozen=True)
    assert tree.members == ()
    assert [type(fault) for fault in tree.broken] == [NotLocked]
