"""Small real containers: a busybox root file system, a bundle of ours, conmon and crun."""

import os
import platform
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from runtime import programs
from runtime.api import ContainerKey, Limits, RestartKind, RestartPolicy, container_id
from runtime.embedded import boot, cgroups
from runtime.embedded.bundle import capabilities, config, filters, seccomp
from runtime.embedded.linux import namespaces
from runtime.embedded.paths import Paths
from runtime.embedded.process.identity import Identity
from runtime.embedded.process.ociruntime import OciRuntime
from runtime.embedded.process.state import ProcessState
from runtime.embedded.process.supervise import Supervisor
from runtime.embedded.streams import logs

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh", "sleep", "true", "false", "echo", "cat", "id", "ls", "dd", "touch", "mknod", "mount",
    "env", "pwd", "date", "kill", "yes", "head", "test", "seq", "usleep", "readlink", "grep",
)  # fmt: skip
PROJECT = "boxes"


def make_rootfs(path: Path) -> Path:
    """A root file system with nothing but busybox."""
    for folder in ("bin", "etc", "tmp", "dev", "proc", "sys"):
        (path / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, path / "bin/busybox")
    for applet in APPLETS:
        (path / "bin" / applet).symlink_to("busybox")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One container of the test's own."""

    boxes: "Boxes"
    id: str

    @property
    def bundle(self) -> Path:
        return self.boxes.paths.bundle(self.id)

    @property
    def cgroup(self) -> str:
        return cgroups.path_for(self.boxes.paths.cgroup, PROJECT, self.id)

    @property
    def log(self) -> Path:
        return self.boxes.paths.container(self.id) / "log"

    @property
    def text(self) -> str:
        """What it wrote, without stamps."""
        return b"".join(line.text for line in logs.lines(self.log)).decode()

    def launch(self, policy: RestartPolicy | None = None) -> Identity:
        return self.boxes.supervisor.launch(self.id, self.cgroup, policy or RestartPolicy())

    def stop(self, number: int = 15, grace: float = 5.0, *, by_hand: bool = False) -> None:
        self.boxes.supervisor.stop(self.id, number, grace, by_hand=by_hand)

    def discard(self) -> None:
        self.boxes.supervisor.discard(self.id, self.cgroup)

    def state(self) -> ProcessState:
        return self.boxes.supervisor.state(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """An instance root with containers in it."""

    paths: Paths
    supervisor: Supervisor
    made: list[Box] = field(default_factory=list)

    def box(self, *args: str, **changes: object) -> Box:
        """A container that is ready to be launched; ``changes`` are fields of ``BundleInput``."""
        name = f"box{len(self.made) + 1}"
        id = container_id(ContainerKey(project=PROJECT, name=f"{name}{self.paths.tag}"), 1)
        box = Box(boxes=self, id=id)
        self.made.append(box)
        box.bundle.mkdir(parents=True)
        self.paths.container(id).mkdir(parents=True)
        rootfs = make_rootfs(self.paths.bundle(id) / "rootfs")
        namespaces.create(self.paths.namespace(id))
        wanted = self.wanted(box, rootfs, args, **changes)
        (box.bundle / "config.json").write_bytes(config.build(wanted))
        return box

    def wanted(
        self, box: Box, rootfs: Path, args: tuple[str, ...], **changes: object
    ) -> config.BundleInput:
        caps = capabilities.resolve((), (), capabilities.from_mask((1 << 41) - 1))
        major, minor = map(int, platform.release().split(".")[:2])
        rules = seccomp.resolve(
            seccomp.load(), caps, machine=platform.machine(), kernel=(major, minor)
        )
        fields: dict[str, object] = {
            "id": box.id,
            "rootfs": str(rootfs),
            "args": args,
            "env": ("PATH=/bin",),
            "cwd": "/",
            "hostname": "box",
            "namespaces": config.Namespaces(network=str(self.paths.namespace(box.id))),
            "cgroups_path": box.cgroup,
            "seccomp": rules,
            "annotations": filters.annotations(rules, self.paths.run / "seccomp"),
            "capabilities": caps,
            "limits": Limits(pids_limit=2048),
            "rlimits": config.default_rlimits(
                {
                    name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
                    for name in ("NOFILE", "NPROC")
                }
            ),
        }
        return config.BundleInput(**{**fields, **changes})  # type: ignore[arg-type]

    def leftovers(self) -> list[str]:
        """Processes and control groups that are of this instance."""
        return [*_processes(str(self.paths.run)), *_groups(self.supervisor.layout, self.paths)]


@contextmanager
def make_boxes(program: str = "crun", root: Path | None = None) -> Iterator[Boxes]:
    """An instance below a short path; everything in it is gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix="tup")) if root is None else root
    paths = Paths.below(place)
    boot.begin(paths)
    layout = cgroups.detect()
    oci = OciRuntime(program=programs.find(program), root=paths.oci)
    boxes = Boxes(
        paths=paths, supervisor=Supervisor(paths=paths, oci=oci, layout=layout, log_max=1 << 20)
    )
    try:
        yield boxes
        for box in boxes.made:
            box.discard()
            namespaces.remove(paths.namespace(box.id))
        for parent in (f"{paths.cgroup}/{PROJECT}", f"{paths.cgroup}/monitors", paths.cgroup):
            cgroups.remove_empty(layout, parent)
        assert boxes.leftovers() == []
    finally:
        for pid in pids_with(str(paths.run)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        boot.empty(paths)
        shutil.rmtree(place, ignore_errors=True)


def always() -> RestartPolicy:
    return RestartPolicy(kind=RestartKind.ALWAYS)


def pids_with(*marks: str) -> list[int]:
    """Processes in whose command line all ``marks`` stand."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = Path(entry.path, "cmdline").read_text(errors="replace")
            except OSError:
                continue
            if all(mark in command for mark in marks):
                found.append(int(entry.name))
    return found


def _processes(mark: str) -> list[str]:
    return [f"process {pid}" for pid in pids_with(mark)]


def _groups(layout: cgroups.Layout, paths: Paths) -> list[str]:
    return [str(f) for f in layout.folders(paths.cgroup) if f.exists()]
