"""The root file system of a container: image layers below, one writable directory above.

The options are fixed, whatever the kernel's defaults are: a layer's own ``redirect`` is never
followed (it would bring hidden files back), no metadata-only copies (they make an upper
directory useless without its layers), no index. Devices in images open nothing for whoever meets
them out here (``nodev``); crun takes that flag away inside, where the device cgroup decides.
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
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000


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
    _mount(lowers, (upper, work), target, mounts.MS_NODEV)


def view(lowers: Sequence[Path], place: Path) -> int:
    """Two or more ``lowers`` (top first) as one tree that cannot be written, open: it goes with the
    descriptor.

    It is mounted at ``place``, any folder, in a mount namespace that ends at once: others see
    nothing of it. Raises ``TooManyLayers``, ``OSError``.
    """
    if len(lowers) > MOST_LAYERS:
        raise TooManyLayers(len(lowers))

    def mounted() -> int:
        check(libc.unshare(_CLONE_NEWNS), "unshare the mount namespace")
        mounts.make_private("/")
        _mount(lowers, (), place, mounts.MS_NODEV | mounts.MS_RDONLY)
        return mounts.cloned(str(place))

    return in_thread(mounted)


def unmount(target: Path) -> None:
    """Take the mount away; what is not mounted is left alone."""
    mounts.unmount(str(target))


def _mount(lowers: Sequence[Path], above: Sequence[Path], target: Path, flags: int) -> None:
    """``above``: the upper and the work directory, or nothing."""
    options = _options([str(path) for path in lowers], [str(path) for path in above])
    if len(os.fsencode(options)) <= _LONGEST:
        mounts.mount("overlay", str(target), "overlay", flags, options)
    else:
        in_thread(lambda: _mount_by_descriptors(lowers, above, target, flags))


def _options(lowers: Sequence[str], above: Sequence[str]) -> str:
    escaped = [
        path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,") for path in lowers
    ]
    words = [_FIXED]
    for key, path in zip(("upperdir", "workdir"), above, strict=False):
        words.append(f"{key}={path}".replace("\\", "\\\\").replace(",", "\\,"))
    return ",".join((*words, f"lowerdir={':'.join(escaped)}"))


def _mount_by_descriptors(
    lowers: Sequence[Path], above: Sequence[Path], target: Path, flags: int
) -> None:
    """Many layers: their paths would not fit, so they are named by the numbers of descriptors,
    seen from /proc/thread-self/fd. The thread has a working directory of its own and ends."""
    check(libc.unshare(_CLONE_FS), "unshare the working directory")
    with ExitStack() as stack:
        names = []
        for path in (*lowers, *above):
            fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            names.append(str(fd))
        os.chdir("/proc/thread-self/fd")
        options = _options(names[: len(lowers)], names[len(lowers) :])
        mounts.mount("overlay", str(target.absolute()), "overlay", flags, options)
