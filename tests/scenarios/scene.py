"""What the scenarios share: a spec on disk, the ways to ask what runs, and patience.

Answers come from the kernel (cgroups, /proc, sockets), not from what trueup prints, wherever
the kernel has them.
"""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.embedded.paths import Paths
from tests.conftest import Trueup
from tests.hosts import Namespace
from tests.images.layers import Entry, directory, file
from tests.inventory import hierarchies

VISITS = """\
#!/bin/sh
n=$(cat /data/visits 2>/dev/null || echo 0)
n=$((n + 1))
echo $n > /data/visits
echo; echo "visit $n"
"""
FRONT = """\
#!/bin/sh
echo; wget -T 2 -qO- http://app/cgi-bin/visits
"""
SERVER = '[httpd, -f, -p, "80", -h, /www]'


def page_files() -> dict[str, Entry]:
    """A layer on busybox: `app` counts visits in /data, `web` asks app by its name."""
    return {
        "www/cgi-bin": directory(),
        "www/cgi-bin/visits": file(VISITS, mode=0o755),
        "www/cgi-bin/front": file(FRONT, mode=0o755),
        "data": directory(),
    }


def eventually(true: Callable[[], object], seconds: float = 10.0, *, what: str = "") -> None:
    """Ask until it is true; ``what`` is for the message when it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or 'it came true'}"
        time.sleep(0.03)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A project on an instance of its own, written as ``text`` into ``spec``."""

    trueup: Trueup
    spec: Path

    @property
    def paths(self) -> Paths:
        return Paths.below(self.trueup.root)

    def write(self, text: str) -> "Scene":
        """Save the spec as most editors do: a new file is renamed over the old one."""
        beside = self.spec.with_name(".saving")
        beside.write_text(text)
        beside.rename(self.spec)
        return self

    def change(self, old: str, new: str) -> None:
        text = self.spec.read_text()
        assert old in text, f"{old!r} is not in the spec"
        self.write(text.replace(old, new))

    def apply(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.trueup("apply", self.spec, *words, code=code)

    def down(self) -> None:
        self.trueup("down", self.spec)

    def plan(self) -> str:
        """What is pending, with its reasons; "" when nothing is."""
        done = self.trueup("plan", self.spec, code=None)
        assert done.returncode in (0, 2), done.stdout + done.stderr
        return done.stdout if done.returncode else ""

    def page(self, port: int, path: str = "", *, at: Namespace | None = None) -> str:
        """What a client gets from the published port, "" when it gets none. ``at`` is another
        place than the host itself, which then asks for the host's address."""
        address = self.trueup.host.address if at else "127.0.0.1"
        with suppress(OSError, http.client.HTTPException):
            return (at or self.trueup.host).fetch(f"http://{address}:{port}/{path}", timeout=4)
        return ""

    def pids(self) -> dict[str, int]:
        """The first process of each running container of the instance by `project/name`."""
        rows = self.trueup("ps", "--no-trunc", "--format", "{{.Names}} {{.ID}}").stdout.split()
        names = dict(zip(rows[1::2], rows[::2], strict=True))
        return {names[id]: min(pids) for id, pids in self.processes().items() if id in names}

    def processes(self) -> dict[str, list[int]]:
        """Processes in the containers' cgroups by id of the container, from the kernel."""
        top = controlled() / self.paths.cgroup
        found = {
            group.parent.name: [int(word) for word in _text(group).split()]
            for group in top.glob("*/*/cgroup.procs")
        }
        return {id: pids for id, pids in found.items() if pids}

    def monitors(self) -> list[int]:
        """The conmons of the instance."""
        lines = self.trueup.inventory().processes
        return [pid for (pid, _), line in lines.items() if "conmon " in line.split("--")[0]]

    def residue(self) -> str:
        """What `down` of the last project should have taken along; "" when nothing is left."""
        found = self.trueup.inventory().leftovers()
        run = [str(path) for path in sorted(self.paths.run.rglob("*")) if path.is_file()]
        kept = sorted(self.paths.containers.glob("*"))
        return found + "".join(f"file: {path}\n" for path in (*run, *kept))


def controlled() -> Path:
    """A hierarchy in which every container has its group: that of the pids controller, or the
    only one of a v2 host."""
    tops = hierarchies()
    return next((top for top in tops if top.name == "pids"), tops[0])


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@contextmanager
def running(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """End the process with the block, whatever came of it."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def kill(pid: int) -> None:
    """SIGKILL, and nothing when it is gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def boot_of(pid: int) -> int:
    """When the process started, in ticks since the boot (proc_pid_stat(5), field 22)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
