"""A process as /proc has it, whatever it calls itself."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from runtime.embedded.linux import proc


def test_a_name_may_hold_what_looks_like_fields(tmp_path: Path) -> None:
    program = tmp_path / "x) Z 1 ("
    shutil.copy(shutil.which("sleep") or "", program)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with subprocess.Popen([program, "60"]) as process:
        found, row = proc.stat(process.pid), proc.read(process.pid)
        process.kill()
    assert found is not None
    assert row is not None
    assert found[0] in "RSD"
    assert abs(found[1] / os.sysconf("SC_CLK_TCK") - before) < 5
    assert row.ppid == os.getpid()
    assert program.name in row.command


def test_a_zombie_is_one_until_it_is_reaped() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    found = proc.stat(process.pid)
    assert found is not None
    assert found[0] == "Z"
    process.wait()
    assert proc.stat(process.pid) is None
    assert proc.read(process.pid) is None
