"""A reboot, played: all processes, links, tables, mounts and cgroups of the instance vanish at
once, the boot id is another one, and the files of the last boot are gone or, worse, still there.

The boot id is a bind mount in a mount namespace of the test's own, in which all commands of the
new boot run: nobody else on this machine sees it.
"""

import os
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.eventually import eventually
from tests.hosts import Host
from tests.inventory import hierarchies
from tests.scenarios.scene import ending, owned
from tests.scenarios.stage import Stage

BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextBoot(Host):
    """The host after a reboot: commands run where the boot id is another one."""

    keeper: int

    @property
    def within(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.keeper}/ns/mnt", f"--net={self.path}"]


@contextmanager
def rebooted(stage: Stage, *, stale: bool) -> Iterator[Stage]:
    """The stage after a reboot; ``stale``: the files of the last boot were not on a tmpfs."""
    run, copy = owned(stage).run, stage.folder / f"run-{uuid.uuid4()}"
    _copy_files(run, copy)
    _power_off(stage)
    shutil.rmtree(run)
    if stale:
        copy.rename(run)
    with _next_boot(stage.host, stage.folder) as host:
        yield replace(stage, trueup=replace(stage.trueup, host=host))


@contextmanager
def _next_boot(host: Host, folder: Path) -> Iterator[NextBoot]:
    """A mount namespace with a boot id of its own."""
    id = folder / f"boot-{uuid.uuid4()}"
    id.write_text(f"{uuid.uuid4()}\n")
    line = f"mount --bind {id} {BOOT_ID} && echo ready && exec sleep 600"
    command = ["unshare", "--mount", "sh", "-c", line]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as keeper, ending(keeper):
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"ready\n"
        yield NextBoot(
            name=host.name,
            address=host.address,
            address6=host.address6,
            other=host.other,
            keeper=keeper.pid,
        )


def _copy_files(run: Path, copy: Path) -> None:
    """What a disk would hold of ``run``: not what is mounted in it; no sockets, no pipes."""
    device = run.stat().st_dev
    for place, folders, names in os.walk(run):
        folders[:] = [each for each in folders if os.stat(f"{place}/{each}").st_dev == device]
        beside = copy / Path(place).relative_to(run)
        beside.mkdir(parents=True)
        for name in names:
            seen = os.lstat(f"{place}/{name}")
            if stat.S_ISREG(seen.st_mode) and seen.st_dev == device:
                shutil.copy2(f"{place}/{name}", beside / name)


def _power_off(stage: Stage) -> None:
    """Nothing of the instance is left in the kernel."""
    paths = owned(stage)
    while found := stage.inventory().processes:
        subprocess.run(["kill", "-9", *(str(pid) for pid, _ in found)], capture_output=True)
    for place in reversed(mounts(stage)):
        stage.host.run("umount", "-l", place)
    # The other end goes with the router, sooner or later.
    stage.host.run("ip", "link", "delete", paths.uplink, check=False)
    stage.host.run("nft", "delete", "table", "inet", paths.table)
    groups = [group for top in hierarchies() for group in (top / paths.cgroup).glob("**/")]
    eventually(lambda: all(_removed(group) for group in reversed(groups)))


def mounts(stage: Stage) -> list[str]:
    """Mount points at and below the root, as the host of the stage sees them."""
    lines = stage.host.run("cat", "/proc/self/mountinfo").stdout.splitlines()
    points = (line.split()[4] for line in lines)
    root = stage.trueup.root.resolve()
    return [point for point in points if Path(point).is_relative_to(root)]


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True
