"""Fixtures: a host to work on, a registry with real images, an instance that leaves nothing.

`host` and `registry` live for the session, `instance_root` and what stands on it for one test.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hosts import Host, make_host, remove_strays
from tests.images import oci, recipes
from tests.images.layers import Entry
from tests.images.registry import Credentials, Registry, free_port
from tests.inventory import Inventory, inventory
from tests.peers import Docker, Podman, removing_cgroups, restoring_network

COMMAND = Path(sys.executable).with_name("trueup")
APPLY_SECONDS = 120.0
HOSTS = "tuh"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-docs",
        action="store_true",
        help="write the tables that tests fill into the documentation (tests/documented.py)",
    )


def pytest_configure() -> None:
    """A shell that starts this in the background ignores SIGINT for it; Ctrl-C is tested. What
    this machine says of registries is of no concern to tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["TRUEUP_CONFIG_DIR"] = "/nonexistent"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, then slow ones, then sweeps. Without root the tests that need it are
    skipped; with it the host is made ready before anything reads what it has."""
    items.sort(key=lambda item: [bool(item.get_closest_marker(m)) for m in ("sweep", "slow")])
    needing = [item for item in items if item.get_closest_marker("root")]
    if needing and os.geteuid() == 0:
        join_controllers()
    for item in needing if os.geteuid() else ():
        item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: it proves nothing of what it was written for."""
    if _skipped(session.config) and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say so above pytest's closing line."""
    if skipped := _skipped(config):
        terminalreporter.write_sep("=", "skipped in CI, therefore failed", red=True)
        for report in skipped:
            terminalreporter.write_line(f"{report.nodeid}: {report.longreprtext}")


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    """The skips that count: all of them where CI is set, none elsewhere."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None:
        return []
    return list(reporter.stats.get("skipped", []))


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """A network namespace that plays the host, linked to `host.other`, another host."""
    remove_strays(HOSTS)
    with make_host(f"{HOSTS}{os.getpid()}") as made:
        yield made


@pytest.fixture(scope="session")
def registry(host: Host) -> Iterator[Registry]:
    """A registry with the images of `tests/images`, at the same 127.0.0.1:port on the machine
    itself and inside `host`. Its storage is the session's own: push what you like."""
    layouts = recipes.layouts()
    with tempfile.TemporaryDirectory(prefix="trueup-registry-") as storage:
        served = Registry(Path(storage), free_port())
        try:
            served.serve()
            served.serve(within=host.within)
            for name, layout in layouts.items():
                served.push(layout, name)
            yield served
        finally:
            served.close()


@pytest.fixture
def locked_registry(host: Host, tmp_path: Path) -> Iterator[Registry]:
    """A registry that asks for basic authentication; it holds busybox."""
    storage = tmp_path / "registry"
    storage.mkdir()
    served = Registry(storage, free_port(), Credentials(username="ci", password="secret"))
    try:
        served.serve()
        served.serve(within=host.within)
        served.push(recipes.layouts()["busybox"], "busybox")
        yield served
    finally:
        served.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """References of the images that the registry holds."""

    registry: Registry
    busybox: str
    nginx: str
    python: str

    def with_config(self, name: str, **config: object) -> str:
        """Publish busybox with other defaults (`Cmd`, `User`, `Volumes` ...); its reference."""
        return self.publish(name, {}, config)

    def publish(self, name: str, files: dict[str, Entry], config: dict[str, object]) -> str:
        """Publish busybox with a layer of ``files`` on top and other defaults; its reference."""
        base = recipes.busybox()
        above = [files] if files else []
        image = oci.Image(layers=[*base.layers, *above], config={**base.config, **config})
        return self.registry.publish(image, name)


@pytest.fixture(scope="session")
def images(registry: Registry) -> Images:
    """The images by name, as references into the registry."""
    references = {name: f"{registry.address}/{name}:latest" for name in recipes.IMAGES}
    return Images(registry=registry, **references)


@pytest.fixture
def instance_root(host: Host) -> Iterator[Path]:
    """The root of an instance of the test's own. Afterwards every project is taken down and
    nothing of the instance may be left in the kernel."""
    with fresh_instance(host) as root:
        yield root


@contextmanager
def fresh_instance(host: Host, prefix: str = "tu") -> Iterator[Path]:
    """The root of an instance that is checked and cleared at the end of the block. Short: socket
    paths have 108 bytes."""
    root = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield root
        if inventory(root, host).leftovers():
            _down(Trueup(root=root, host=host))
        left = inventory(root, host).leftovers()
        assert not left, f"`down` left behind:\n{left}"
    finally:
        _end(root, host)
        shutil.rmtree(root, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trueup:
    """The command line on an instance of its own, run inside the host."""

    root: Path
    host: Host

    def __call__(
        self, *words: str | Path, code: int | None = 0, timeout: float = APPLY_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run `trueup --root ROOT words`; any exit code but ``code`` fails (None: all will do)."""
        done = self.host.run(COMMAND, "--root", self.root, *words, check=False, timeout=timeout)
        shown = f"trueup {' '.join(map(str, words))}: exit {done.returncode}"
        shown += f"\n{done.stdout}{done.stderr}{_defect(done.stderr)}"
        assert code in (None, done.returncode), shown
        assert "Traceback" not in shown, shown
        return done

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start it and return at once: for `watch`, `logs -f` and for killing."""
        return self.host.start(COMMAND, "--root", self.root, *words)

    def inventory(self) -> Inventory:
        return inventory(self.root, self.host)


def _defect(stderr: str) -> str:
    """The traceback that trueup wrote to a file because of an error that it did not foresee."""
    found = re.search(r"(?:report it with|details are in) (/\S+)", stderr)
    if not found:
        return ""
    place = Path(found[1])
    text = place.read_text()
    place.unlink()
    return text


@pytest.fixture
def trueup(instance_root: Path, host: Host) -> Trueup:
    """The command on a fresh instance: `trueup("apply", file)`."""
    return Trueup(root=instance_root, host=host)


@pytest.fixture
def docker(host: Host) -> Iterator[Docker]:
    """A Docker of the test's own on the host: `docker("run", "-d", images.busybox)`."""
    with removing_cgroups(), restoring_network(host), _peer_folder() as folder:
        daemon = Docker(host, folder)
        try:
            yield daemon
        finally:
            daemon.close()


@pytest.fixture
def podman(host: Host, registry: Registry) -> Iterator[Podman]:
    """A podman of the test's own on the host."""
    with removing_cgroups(), restoring_network(host), _peer_folder() as folder:
        engine = Podman(host, folder, registry.address)
        try:
            yield engine
        finally:
            engine.close()


@contextmanager
def _peer_folder() -> Iterator[Path]:
    """Short, because sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="tup", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _down(trueup: Trueup) -> None:
    """Take down every project that has containers here."""
    for project in sorted(_projects(trueup)):
        trueup("down", "--project", project, code=None)


def _projects(trueup: Trueup) -> set[str]:
    shown = trueup("ps", "--all", "--format", "{{.Project}}", code=None).stdout
    return set(shown.split())


def _end(root: Path, host: Host) -> None:
    """Clear what a failed test left, so that the next one starts on clean ground."""
    for pid, _ in inventory(root, host).processes:
        subprocess.run(["kill", "-9", str(pid)], capture_output=True)
    for mount in reversed(inventory(root).mounts):
        subprocess.run(["umount", "-l", mount.split()[0]], capture_output=True)


def join_controllers() -> None:
    """On a hybrid host crun refuses to work while a controller is left in the v2 hierarchy:
    mount such controllers as v1, as the others are; one that was unmounted a moment ago would go
    back there while the tests run. `.ci/run` undoes it at its end."""
    unified = Path("/sys/fs/cgroup/unified/cgroup.controllers")
    if not unified.exists():
        return
    left = set(unified.read_text().split())
    rows = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    options = [words for _, _, kind, words, *_ in mounts if kind == "cgroup"]
    mounted = {word for words in options for word in words.split(",")}
    leaving = {name for name, hierarchy, *_ in rows if hierarchy != "0"} - mounted
    for controller in sorted(left | leaving):
        place = unified.parent.parent / controller
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "cgroup", "-o", controller, controller, str(place)]
        subprocess.run(command, check=True)
