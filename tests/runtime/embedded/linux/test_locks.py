"""Who holds a lock is told, who only waits for it is not."""

import fcntl
import os
import subprocess
from pathlib import Path

from runtime.embedded.linux.locks import holders
from tests.eventually import eventually


def test_all_that_share_a_lock_hold_it(tmp_path: Path) -> None:
    path, other = tmp_path / "lock", tmp_path / "other"
    path.touch()
    other.touch()
    assert holders(path) == ()
    shared = subprocess.Popen(
        ["flock", "--shared", "--no-fork", path, "cat"], stdin=subprocess.PIPE
    )
    with path.open() as mine, other.open() as another, shared:
        fcntl.flock(another, fcntl.LOCK_EX)
        fcntl.flock(mine, fcntl.LOCK_SH)
        eventually(lambda: holders(path) == tuple(sorted((os.getpid(), shared.pid))))
        with subprocess.Popen(["flock", path, "true"]) as waiting:
            eventually(lambda: f" {waiting.pid} " in Path("/proc/locks").read_text())
            assert holders(path) == tuple(sorted((os.getpid(), shared.pid)))
            fcntl.flock(mine, fcntl.LOCK_UN)
            assert holders(path) == (shared.pid,)
            assert shared.stdin
            shared.stdin.close()
            assert waiting.wait(10) == 0
    assert holders(path) == ()
