"""The machine's disk: Debian 12 as it comes, with what the engine and the tests need, made once.

mmdebstrap collects it, mke2fs makes it a file system without mounting anything. Machines only
read it: their writes go to a snapshot of their own. The cache holds one disk for
each state of the recipe.
"""

import fcntl
import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parent.parent.parent
CACHE = TOP / ".cache" / "vm"
GUEST = Path(__file__).parent / "guest"
SUITE = "bookworm"
SIZE = "12G"  # sparse: what nobody writes costs nothing
MACHINE = (
    "systemd-sysv", "udev", "dbus", "kmod", "linux-image-cloud-amd64", "initramfs-tools",
    "procps", "psmisc", "perl",
)  # fmt: skip
BULK = ("man", "doc", "info", "locale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A root file system and the kernel that belongs to it."""

    root: Path
    kernel: Path
    initrd: Path


def disk(packages: Sequence[str]) -> Disk:
    """Debian with ``packages``, built now where the cache lacks it. Safe beside another builder."""
    place = CACHE / _key(packages)
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            _build(place, packages)
    return Disk(root=place / "root.img", kernel=place / "vmlinuz", initrd=place / "initrd.img")


def _key(packages: Sequence[str]) -> str:
    sources = [Path(__file__), *sorted(GUEST.iterdir())]
    text = b"".join(source.read_bytes() for source in sources) + " ".join(packages).encode()
    return hashlib.sha256(text).hexdigest()[:16]


def _build(place: Path, packages: Sequence[str]) -> None:
    """A tar between, as mmdebstrap mounts /proc and /sys in a folder while it fills it: should it
    be killed, nobody may take that for files to remove."""
    archive, image = place / "root.tar", place / "root.img"
    _bootstrap(archive, packages)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        root = Path(folder) / "root"
        root.mkdir()
        _run("tar", "--numeric-owner", "--xattrs", "-xf", archive, "-C", root)
        archive.unlink()
        for name, stem in (("vmlinuz", "vmlinuz-*"), ("initrd.img", "initrd.img-*")):
            (found,) = (root / "boot").glob(stem)
            found.replace(place / name)
        image.unlink(missing_ok=True)
        _run("truncate", "--size", SIZE, image)
        _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", root, image)
    (place / "complete").touch()


def _bootstrap(archive: Path, packages: Sequence[str]) -> None:
    wanted = ",".join((*MACHINE, *packages))
    lean = [f"--dpkgopt=path-exclude=/usr/share/{bulk}/*" for bulk in BULK]
    command = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={wanted}", *lean]
    _run(*command, f"--customize-hook={GUEST}/customize", SUITE, archive)


def _run(*command: str | Path) -> None:
    """Run a program; what it wrote is shown when it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
