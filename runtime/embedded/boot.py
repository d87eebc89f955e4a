"""A reboot is normal: what belongs to a boot is recognised by the boot id, not by an empty tmpfs.

Everything in ``paths.run`` was written under the boot id that stands in it. When that is not
this boot's, its processes, links and mounts are gone (or, where the folder is not on tmpfs,
somebody else's by now): it is emptied before anything is made.
"""

import os
from pathlib import Path

from runtime import durable
from runtime.embedded.linux import files, mounts
from runtime.embedded.paths import Paths
from runtime.errors import Fault

_MARK = ".trueup"  # lies in `lib` and `run`: they are ours, and may be chmodded and emptied


class NotOurs(Fault):
    """Where an instance wants to keep its things somebody else keeps his."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"{folder} cannot be used",
            why="it holds files that are not trueup's",
            hint="give --root (TRUEUP_ROOT) a folder of its own, or move those files elsewhere; "
            "nothing was changed",
        )


def current() -> str:
    """This boot's id, proc_sys_kernel(5)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def is_current(paths: Paths) -> bool:
    """Whether ``paths.run`` was written since this machine started."""
    try:
        return paths.boot_id.read_text().strip() == current()
    except FileNotFoundError:
        return False


def prepare(paths: Paths) -> None:
    """Make the folders that outlive a boot. Idempotent. Raises ``NotOurs``."""
    _check_ours(paths)
    paths.lib.mkdir(parents=True, exist_ok=True, mode=0o700)
    _mark(paths.lib)
    paths.lib.chmod(0o700)
    for folder in (paths.locks, paths.containers):
        folder.mkdir(exist_ok=True, mode=0o700)


def _check_ours(paths: Paths) -> None:
    """Raise ``NotOurs`` when ``lib`` or ``run`` has content and no mark; what instances had
    before there were marks counts as one. The default instance's names are ours alone."""
    if not paths.tag:
        return
    for folder, old in ((paths.lib, paths.ledger), (paths.run, paths.boot_id)):
        # Looked for again after content was seen: another process may just have begun.
        if not _is_marked(folder, old) and _has_content(folder) and not _is_marked(folder, old):
            raise NotOurs(folder)


def _is_marked(folder: Path, old: Path) -> bool:
    return (folder / _MARK).exists() or old.exists()


def _has_content(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entries)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True


def _mark(folder: Path) -> None:
    """The first entry of a new folder, so whoever is killed later leaves a marked one."""
    if not (folder / _MARK).exists():
        (folder / _MARK).touch(mode=0o600)


def begin(paths: Paths) -> None:
    """Make the folders of the instance; those of an earlier boot are emptied first. Idempotent.

    ``run`` is a tmpfs of its own: conmon's exit files must not be lost on a full disk. It is
    private, so that the mounts below it never show up (and stay busy) in the mount namespaces of
    other services. Raises ``NotOurs``.
    """
    prepare(paths)
    if is_current(paths):
        return
    with durable.lock(paths.locks / "boot", what="the start of the instance"):
        if not is_current(paths):
            _begin_anew(paths)


def _begin_anew(paths: Paths) -> None:
    empty(paths)
    paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    mounts.mount("tmpfs", str(paths.run), "tmpfs", mounts.MS_NOSUID, "mode=0700")
    mounts.make_private(str(paths.run))
    _mark(paths.run)
    for folder in (paths.namespaces, paths.bundles, paths.exits, paths.oci):
        folder.mkdir(exist_ok=True, mode=0o700)
    durable.write(paths.boot_id, f"{current()}\n".encode(), sync=False)


def empty(paths: Paths) -> None:
    """Remove ``paths.run``: its mounts first, so that nothing behind one is touched.
    Raises ``NotOurs``."""
    _check_ours(paths)
    for target in mounts.below(paths.run):
        mounts.unmount(target)
    if paths.run.exists():
        _mark(paths.run)
        # The mark goes last: whoever is killed before leaves a folder that is known as ours.
        for name in sorted({*os.listdir(paths.run)} - {_MARK}):
            files.remove(paths.run / name)
        files.remove(paths.run)


def note_bundle(paths: Paths, id: str) -> None:
    """A container's bundle is complete; noted in its kept part, which outlives the bundle."""
    durable.write(_noted_bundle(paths, id), current().encode(), sync=False)


def has_lost_bundle(paths: Paths, id: str) -> bool:
    """Whether a container had a bundle in this boot and has none any more."""
    if (paths.bundle(id) / "config.json").exists():
        return False
    return bundled_in(paths, id) == current()


def bundled_in(paths: Paths, id: str) -> str:
    """The boot in which a container last had a bundle, "" when it never had one."""
    try:
        return _noted_bundle(paths, id).read_text()
    except FileNotFoundError:
        return ""


def _noted_bundle(paths: Paths, id: str) -> Path:
    return paths.container(id) / "bundled"
