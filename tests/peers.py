"""docker and podman beside us: their own engines in a host's namespace, with state of their own.

Nothing of a docker or podman that the machine itself uses is touched. Both leave empty cgroups
behind; `removing_cgroups` takes them away.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.eventually import PATIENCE
from tests.hosts import Host
from tests.inventory import hierarchies

START_SECONDS = 30.0 * PATIENCE
COMMAND_SECONDS = 300.0 * PATIENCE
FORWARDING = "net.ipv4.ip_forward"

# Limits that podman would otherwise raise above the caller's, which fails where root lacks
# CAP_SYS_RESOURCE.
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=10000:10000"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
[network]
network_config_dir = "{folder}/networks"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""
REGISTRIES = """\
[[registry]]
location = "{registry}"
insecure = true
"""


def run(
    host: Host, command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path
) -> str:
    """Run a command inside the host and return its stdout; a failure raises with all it wrote."""
    words = [*host.within, *map(str, command)]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        cwd=cwd,
        env={**os.environ, **environment},
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Docker:
    """A dockerd with its containerd below ``folder``; loopback registries may be plain HTTP."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host, self._folder = host, folder
        self.environment = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
        self._daemon = self._start()
        self._await()

    def __call__(self, *words: str | Path) -> str:
        """`docker words` and what it printed."""
        return run(self._host, ["docker", *words], self.environment, self._folder)

    def close(self) -> None:
        """Remove the containers, then SIGTERM: dockerd ends containerd and its mounts with it."""
        try:
            if containers := self("ps", "--all", "--quiet").split():
                self("rm", "--force", *containers)
        finally:
            self._daemon.terminate()
            self._daemon.wait(60)

    def restart(self, meanwhile: Callable[[], object]) -> None:
        """End dockerd and its containers, do ``meanwhile``, start it again."""
        self._daemon.terminate()
        self._daemon.wait(60)
        meanwhile()
        self._daemon = self._start()
        self._await()

    def _start(self) -> subprocess.Popen[bytes]:
        folder = self._folder
        command = ["dockerd", "--host", self.environment["DOCKER_HOST"], "--pidfile"]
        command += [f"{folder}/pid", "--data-root", f"{folder}/data", "--exec-root"]
        command += [f"{folder}/exec"]
        with (folder / "dockerd.log").open("wb") as log:
            words = [*self._host.within, *command]
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _await(self) -> None:
        end = time.monotonic() + START_SECONDS
        while self._daemon.poll() is None and time.monotonic() < end:
            try:
                self("info")
            except RuntimeError:
                time.sleep(0.1)
            else:
                return
        log = (self._folder / "dockerd.log").read_text()[-3000:]
        raise RuntimeError(f"dockerd did not start:\n{log}")


class Podman:
    """podman with storage below ``folder``; ``registry`` may be plain HTTP."""

    def __init__(self, host: Host, folder: Path, registry: str) -> None:
        self._host, self._folder = host, folder
        texts = {"CONF": CONTAINERS, "STORAGE_CONF": STORAGE, "REGISTRIES_CONF": REGISTRIES}
        self.environment = {
            f"CONTAINERS_{name}": self._setting(name, text.format(folder=folder, registry=registry))
            for name, text in texts.items()
        }

    def __call__(self, *words: str | Path) -> str:
        """`podman words` and what it printed."""
        return run(self._host, ["podman", *words], self.environment, self._folder)

    def close(self) -> None:
        """Remove its containers and networks; the folder is the caller's."""
        self("rm", "--all", "--force", "--time=0")
        self("system", "prune", "--force")

    def _setting(self, name: str, text: str) -> str:
        place = self._folder / f"{name.lower()}.conf"
        place.write_text(text)
        return str(place)


@contextmanager
def restoring_network(host: Host) -> Iterator[None]:
    """Take away what an engine leaves on the host's network: its bridges, its iptables tables
    (Docker's FORWARD DROP would be in the way of the next test) and the host's forwarding."""
    tables, bridges = _tables(host), _bridges(host)
    forwarding = host.run("sysctl", "-n", FORWARDING).stdout.strip()
    try:
        yield
    finally:
        for table in _tables(host) - tables:
            host.run("nft", "delete", *table.split())
        for bridge in _bridges(host) - bridges:
            host.run("ip", "link", "delete", bridge)
        host.run("sysctl", "-qw", f"{FORWARDING}={forwarding}")


def _tables(host: Host) -> set[str]:
    """The host's tables of iptables: `table ip filter`."""
    shown = host.run("nft", "list", "tables", "ip").stdout
    shown += host.run("nft", "list", "tables", "ip6").stdout
    return set(shown.splitlines())


def _bridges(host: Host) -> set[str]:
    shown = host.run("ip", "-oneline", "link", "show", "type", "bridge").stdout
    return {line.split(":")[1].strip() for line in shown.splitlines()}


@contextmanager
def removing_cgroups() -> Iterator[None]:
    """Take away the empty groups that came to the top of a hierarchy during the block."""
    kept = set(_top_cgroups())
    try:
        yield
    finally:
        for path in set(_top_cgroups()) - kept:
            if path.name in ("docker", "libpod_parent"):
                _remove(path)


def _top_cgroups() -> Iterator[Path]:
    for top in hierarchies():
        yield from (path for path in top.iterdir() if path.is_dir() and not path.is_mount())


def _remove(group: Path) -> None:
    for below in sorted(group.glob("**/"), reverse=True):
        with suppress(OSError):
            below.rmdir()
