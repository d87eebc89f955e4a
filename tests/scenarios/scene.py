"""A project of four that shows most of what a project has, and what only the kernel can tell of
a whole instance: how many processes, monitors and leftovers there are.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import AnyStr

from runtime.embedded.paths import Paths
from tests.images.layers import Entry, directory, file
from tests.inventory import hierarchies
from tests.scenarios.stage import Stage

VISITS = """\
#!/bin/sh
n=$(cat /data/visits 2>/dev/null || echo 0)
n=$((n + 1))
echo $n > /data/visits
echo; echo "visit $n"
"""
FRONT = """\
#!/bin/sh
echo; exec wget -qO- http://app/cgi-bin/visits
"""
# A front that finds its application by name, a volume that counts, a chain of dependencies, two
# published ports. $pages is busybox with the two scripts above.
FOUR = """\
project: four
volumes:
  visits: {}
images:
  counter: {from: $pages}
containers:
  base: {image: $pages, command: [sleep, "1000"], stop_signal: SIGKILL}
  app:
    image: counter
    volumes: ["visits:/data"]
    stop_signal: SIGKILL
    depends_on: [base]
  web:
    image: $pages
    ports: ["18080:80"]
    restart: always
    stop_signal: SIGKILL
    depends_on: [app]
  side:
    image: $pages
    ports: ["18081:80"]
    mem_limit: 64m
    stop_signal: SIGKILL
"""
FRONT_PAGE = "/cgi-bin/front"


def page_files() -> dict[str, Entry]:
    """What `app` and `web` have above busybox."""
    return {
        "www/cgi-bin": directory(),
        "www/cgi-bin/visits": file(VISITS, mode=0o755),
        "www/cgi-bin/front": file(FRONT, mode=0o755),
        "data": directory(),
    }


def owned(stage: Stage) -> Paths:
    """Every path and name of the instance."""
    return Paths.below(stage.trueup.root)


def processes(stage: Stage) -> dict[str, list[int]]:
    """Processes in the containers' cgroups by id of the container; empty groups are left out."""
    groups = (_controlled() / owned(stage).cgroup).glob("*/*/cgroup.procs")
    found = {group.parent.name: [int(word) for word in _text(group).split()] for group in groups}
    return {id: pids for id, pids in found.items() if pids}


def monitors(stage: Stage) -> list[int]:
    """The conmons of the instance."""
    lines = stage.inventory().processes
    return [pid for (pid, _), line in lines.items() if Path(line.split()[0]).name == "conmon"]


def residue(stage: Stage) -> str:
    """What `down` of the last project should have taken along, locks, files of a container and of
    this boot included; "" when nothing is left."""
    paths = owned(stage)
    files = {*paths.run.rglob("*"), *paths.containers.glob("*")} - {paths.locks}
    return stage.inventory().leftovers() + "".join(f"file: {path}\n" for path in sorted(files))


def _controlled() -> Path:
    """A hierarchy in which every container has its group: that of the pids controller, or the
    only one of a v2 host."""
    tops = hierarchies()
    return next((top for top in tops if top.name == "pids"), tops[0])


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""


@contextmanager
def ending(process: "subprocess.Popen[AnyStr]") -> Iterator["subprocess.Popen[AnyStr]"]:
    """The process does not outlive the block."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def killed(process: "subprocess.Popen[bytes]", after: float) -> bool:
    """Let it work for ``after`` seconds, then SIGKILL; whether it was still at work."""
    with ending(process):
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            return True
        return False
