"""Control groups, disk, limits, clock, security modules, and what an earlier boot left."""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from runtime.api import Finding, Verdict
from runtime.embedded import boot, cgroups
from runtime.embedded.bundle import seccomp
from runtime.embedded.doctor import programs
from runtime.embedded.paths import Paths

_MIB = 1 << 20
LEAST_SPACE, ENOUGH_SPACE = 100 * _MIB, 1 << 30  # bytes
LEAST_INODES, ENOUGH_INODES = 1_000, 50_000
ENOUGH_FILES = 4096
_SANE = 1_704_067_200  # 2024-01-01: before that no certificate of today is valid
_NEEDED = ("memory", "pids", "cpu")
_APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
_SELINUX = Path("/sys/fs/selinux/enforce")
_SYSTEMD = Path("/run/systemd/system")


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def cgroup_findings() -> Iterator[Finding]:
    layout = cgroups.detect()
    unified = next((each.root for each in layout.hierarchies if not each.name), None)
    listed = unified / "cgroup.controllers" if unified else None
    available = listed.read_text().split() if listed and listed.exists() else []
    yield judged_cgroups(layout, available, runc=programs.is_there("runc"))
    closed = [str(each.root) for each in layout.hierarchies if not os.access(each.root, os.W_OK)]
    if closed and os.geteuid() == 0:
        yield Finding(
            subject="cgroups",
            verdict=Verdict.BLOCKER,
            text=f"no groups can be made in {', '.join(closed)}",
            commands=tuple(f"mount -o remount,rw {place}" for place in closed),
        )


def judged_cgroups(layout: cgroups.Layout, unified: list[str], *, runc: bool) -> Finding:
    """``unified`` are the controllers of the v2 tree; ``runc`` says whether that is installed."""
    if not layout.hierarchies:
        return Finding(
            subject="cgroups",
            verdict=Verdict.BLOCKER,
            text="no hierarchy is mounted",
            commands=("mount -t cgroup2 cgroup2 /sys/fs/cgroup",),
        )
    if layout.left:
        names = ",".join(layout.left)
        place = f"/sys/fs/cgroup/{names}"
        return Finding(
            subject="cgroups",
            verdict=Verdict.WARNING if runc else Verdict.BLOCKER,
            text=f"hybrid; {names} is left in the v2 tree, which crun refuses (runc does not)",
            commands=(f"mkdir -p {place}", f"mount -t cgroup -o {names} {names} {place}"),
        )
    present = {name for each in layout.hierarchies for name in each.controllers} | set(unified)
    missing = [name for name in _NEEDED if name not in present]
    manager = "systemd" if _SYSTEMD.exists() else "no manager"
    if not missing:
        return Finding(subject="cgroups", verdict=Verdict.OK, text=f"{layout.kind}, {manager}")
    return Finding(
        subject="cgroups",
        verdict=Verdict.WARNING,
        text=f"{layout.kind} without {', '.join(missing)}: limits of these cannot be set"
        " (cgroup_enable= on the kernel's command line may bring them)",
    )


def seccomp_profile() -> Finding:
    if (found := seccomp.find()) is not None:
        return Finding(subject="seccomp profile", verdict=Verdict.OK, text=str(found))
    return Finding(
        subject="seccomp profile",
        verdict=Verdict.BLOCKER,
        text="none is installed; containers would run without a filter",
        commands=("apt-get install golang-github-containers-common",),
    )


def security_modules() -> Finding:
    found = []
    if _APPARMOR.exists() and _APPARMOR.read_text().startswith("Y"):
        found.append("AppArmor is on")
    if _SELINUX.exists():
        enforces = _SELINUX.read_text().startswith("1")
        found.append(f"SELinux is {'enforcing' if enforces else 'permissive'}")
    return Finding(
        subject="security modules",
        verdict=Verdict.OK,
        text=", ".join(found) or "neither AppArmor nor SELinux",
    )


def disk(lib: Path) -> Iterator[Finding]:
    place = nearest(lib)
    seen = os.statvfs(place)
    free = seen.f_bavail * seen.f_frsize
    yield Finding(
        subject="disk space",
        verdict=_enough(free, LEAST_SPACE, ENOUGH_SPACE),
        text=f"{free // _MIB} MiB are free in {place}",
    )
    if seen.f_files:  # some file systems do not count them
        yield Finding(
            subject="inodes",
            verdict=_enough(seen.f_favail, LEAST_INODES, ENOUGH_INODES),
            text=f"{seen.f_favail} are free in {place}",
        )


def _enough(free: int, least: int, enough: int) -> Verdict:
    if free < least:
        return Verdict.BLOCKER
    return Verdict.WARNING if free < enough else Verdict.OK


def open_files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = hard != resource.RLIM_INFINITY and hard < ENOUGH_FILES
    return Finding(
        subject="open files",
        verdict=Verdict.WARNING if few else Verdict.OK,
        text=f"at most {'unlimited' if hard == resource.RLIM_INFINITY else hard} a process",
        commands=(f"ulimit -Hn {ENOUGH_FILES * 16}",) if few else (),
    )


def clock(now: float | None = None) -> Finding:
    now = time.time() if now is None else now
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now >= _SANE:
        return Finding(subject="clock", verdict=Verdict.OK, text=shown)
    return Finding(
        subject="clock",
        verdict=Verdict.WARNING,
        text=f"{shown} is wrong: no registry's certificate will be valid",
        commands=("timedatectl set-ntp true",),
    )


def boot_state(paths: Paths) -> Finding:
    if not paths.boot_id.exists():
        text = "an instance that is not in use"
    elif boot.is_current(paths):
        text = "of this boot"
    else:
        return Finding(
            subject="state",
            verdict=Verdict.WARNING,
            text=f"{paths.run} is of an earlier boot: its containers do not run",
            commands=("trueup apply",),
        )
    return Finding(subject="state", verdict=Verdict.OK, text=f"{paths.lib}: {text}")
