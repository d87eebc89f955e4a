"""The root file system of a container: image layers below, one writable directory above.

The options are fixed, whatever the kernel's defaults are: a layer's own ``redirect`` is never
followed (it would bring hidden files back), no metadata-only copies (they make an upper
directory useless without its layers), no index. Devices in images open nothing: ``nodev``.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from runtime.embedded.linux import mounts
from runtime.embedded.linux.libc import check, libc
from runtime.embedded.linux.namespaces import in_thread
from runtime.errors import Fault

MOST_LAYERS = 500
_FIXED = "redirect_dir=nofollow,metacopy=off,index=off"
_LONGEST = 4095  # mount(2) cuts what is longer
_CLONE_FS = 0x200


class TooManyLayers(Fault):
    """More layers than overlayfs can stack."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(
            "the root file system cannot be mounted",
            why=f"the image has {count} layers, and overlayfs takes {MOST_LAYERS}",
            hint="build the image with fewer layers",
        )


def mount(lowers: Sequence[Path], upper: Path, work: Path, target: Path) -> None:
    """Mount ``lowers`` (top first) below ``upper`` at ``target``.

    ``upper`` and the empty ``work`` are on one file system, and nobody else's while it is
    mounted: the kernel does not refuse that. Raises ``TooManyLayers``, ``OSError``.
    """
    if len(lowers) > MOST_LAYERS:
        raise TooManyLayers(len(lowers))
    options = _options([str(path) for path in lowers], str(upper), str(work))
    if len(os.fsencode(options)) <= _LONGEST:
        mounts.mount("overlay", str(target), "overlay", mounts.MS_NODEV, options)
    else:
        in_thread(lambda: _mount_by_descriptors(lowers, upper, work, target))


def unmount(target: Path) -> None:
    """Take the mount away; what is not mounted is left alone."""
    mounts.unmount(str(target))


def _options(lowers: Sequence[str], upper: str, work: str) -> str:
    escaped = [
        path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,") for path in lowers
    ]
    above = [path.replace("\\", "\\\\").replace(",", "\\,") for path in (upper, work)]
    return f"{_FIXED},upperdir={above[0]},workdir={above[1]},lowerdir={':'.join(escaped)}"


def _mount_by_descriptors(lowers: Sequence[Path], upper: Path, work: Path, target: Path) -> None:
    """Many layers: their paths would not fit, so they are named by the numbers of descriptors,
    seen from /proc/thread-self/fd. The thread has a working directory of its own and ends."""
    check(libc.unshare(_CLONE_FS), "unshare the working directory")
    with ExitStack() as stack:
        names = []
        for path in (*lowers, upper, work):
            fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            names.append(str(fd))
        os.chdir("/proc/thread-self/fd")
        options = _options(names[:-2], names[-2], names[-1])
        mounts.mount("overlay", str(target.absolute()), "overlay", mounts.MS_NODEV, options)
