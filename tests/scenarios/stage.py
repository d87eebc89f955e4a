"""A project on the stage: its spec, the command that makes it true, and the facts to ask for.

Facts come from the kernel (/proc, cgroups, sockets) and from what containers say themselves;
`trueup` is only asked which process is whose.
"""

import http.client
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Images, Trueup
from tests.eventually import PATIENCE, eventually
from tests.hosts import Host, Namespace
from tests.inventory import Inventory, hierarchies

NOTHING = "nothing to change\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One project in ``folder``. In its spec $busybox, $nginx and $python are images."""

    trueup: Trueup
    images: Images
    folder: Path

    # --- the spec and the commands ---

    @property
    def spec(self) -> Path:
        return self.folder / "trueup.yaml"

    @property
    def host(self) -> Host:
        return self.trueup.host

    def write(self, spec: str) -> None:
        """Put a spec into the folder, and beside it the names of the images."""
        names = {each: getattr(self.images, each) for each in ("busybox", "nginx", "python")}
        text = "".join(f"{name}={reference}\n" for name, reference in names.items())
        (self.folder / ".env").write_text(text)
        self.spec.write_text(spec)

    def edit(self, old: str, new: str) -> None:
        """Change one place of the spec."""
        text = self.spec.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the spec"
        self.spec.write_text(text.replace(old, new))

    def apply(self, *options: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.trueup("apply", self.spec, *options, code=code)

    def make(self, spec: str) -> None:
        """Write a spec and make it true."""
        self.write(spec)
        self.apply()

    def down(self, *options: str) -> None:
        self.trueup("down", self.spec, *options)

    def pending(self) -> str:
        """What `plan` shows; "" when nothing is to change and nothing to be noted."""
        done = self.trueup("plan", self.spec, code=None)
        assert done.returncode in (0, 2), done.stdout + done.stderr
        assert (done.returncode == 0) == done.stdout.endswith(NOTHING), done.stdout
        return done.stdout.removesuffix(NOTHING)

    # --- who is who ---

    def state(self) -> dict[str, Any]:
        """All that `status` knows of the project."""
        shown = self.trueup("status", self.spec, "--offline", "--format", "json").stdout
        found: dict[str, Any] = json.loads(shown)
        return found

    def containers(self) -> dict[str, dict[str, Any]]:
        """What `status` says of each container; there must be one generation of each."""
        found = self.state()["containers"]
        by_name = {each["name"]: each for each in found}
        assert len(by_name) == len(found), f"two generations of one container: {found}"
        return by_name

    def pids(self) -> dict[str, int]:
        """The first process of each container that runs."""
        return {name: each["pid"] for name, each in self.containers().items() if each["pid"]}

    def pid(self, name: str) -> int:
        return self.pids()[name]

    def bundle(self, name: str) -> Path:
        return self.trueup.root / "run" / "bundles" / str(self.containers()[name]["id"])

    def kept(self, name: str) -> Path:
        """The files of a container that outlive a reboot."""
        return self.trueup.root / "lib" / "containers" / str(self.containers()[name]["id"])

    def log(self, name: str) -> str:
        """What a container has written to its standard output."""
        return self.trueup("logs", name).stdout

    # --- as others see it ---

    def answer(self, port: int, *, path: str = "/", address: str = "127.0.0.1") -> str:
        """What the host's own client gets at a published port, or why it gets nothing."""
        return answer(self.host, address, port, path=path)

    def inventory(self) -> Inventory:
        return self.trueup.inventory()


@contextmanager
def started(stage: Stage, *words: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program on the host for the block."""
    process = stage.host.start(*words)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answer(place: Namespace, address: str, port: int, *, path: str = "/") -> str:
    """The body of a page as a client at ``place`` gets it, or "refused", "silence", "unreachable"
    or the status code of an error."""
    try:
        with place.inside():
            return _page(address, port, path)
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silence"
    except OSError as error:
        return f"unreachable ({error})"


def _page(address: str, port: int, path: str) -> str:
    connection = http.client.HTTPConnection(address, port, timeout=2 * PATIENCE)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read().decode()
    except http.client.HTTPException as error:
        return f"broken ({error!r})"
    finally:
        connection.close()
    return body if reply.status == 200 else str(reply.status)


# --- the kernel's facts of a process ---


def status(pid: int) -> Mapping[str, str]:
    """/proc/<pid>/status, proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def limit(pid: int, file: str, unified: str) -> str:
    """A limit of the process's cgroup: ``file`` on v1 hierarchies, ``unified`` on v2."""
    return limit_file(pid, file, unified).read_text().strip()


def limit_file(pid: int, file: str, unified: str) -> Path:
    groups = set(re.findall(r"^\d+:[^:]*:(/.+)$", Path(f"/proc/{pid}/cgroup").read_text(), re.M))
    names = [
        f"{top}{group}/{name}"
        for top in hierarchies()
        for group in groups
        for name in (file, unified)
    ]
    (found,) = {Path(name).resolve() for name in names if Path(name).exists()}
    return found


def kill(pid: int) -> None:
    """SIGKILL, and wait until it is dead."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not lives(pid))


def lives(pid: int) -> bool:
    try:
        return status(pid)["State"][0] not in "ZX"
    except OSError:
        return False


def within(pid: int, *command: str) -> str:
    """The output of a program of the container's image, run in its namespaces."""
    words = ["nsenter", f"--target={pid}", "--mount", "--net", "--uts", "--pid", "--root", "--wd"]
    done = subprocess.run([*words, *command], capture_output=True, text=True, timeout=20 * PATIENCE)
    return done.stdout + done.stderr
