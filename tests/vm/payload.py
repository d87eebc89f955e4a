"""What is carried to a machine without a network: wheels, the checkout, images. A tar as a disk.

The machine reads its second disk as a tar archive, so neither side needs a file system for it.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.images import applications, recipes
from tests.vm.disk import CACHE, TOP

# Debian 12 has Python 3.11, whatever runs here.
FOR_THE_MACHINE = (
    "--only-binary=:all:", "--python-version=3.11",
    "--platform=manylinux2014_x86_64", "--platform=manylinux_2_28_x86_64",
)  # fmt: skip


def pack(folder: Path) -> Path:
    """The payload below ``folder``: `wheels/`, `checkout/`, `images/NAME.tar` (OCI archives) and
    `layouts/` (the caches of the images, for tests)."""
    _add_project(folder / "wheels")
    place = folder / "payload.tar"
    with tarfile.open(place, "w") as tar:
        for wheels in (_dependencies(), folder / "wheels"):
            for wheel in sorted(wheels.glob("*.whl")):
                tar.add(wheel, f"wheels/{wheel.name}")
        for name in _tracked():
            tar.add(TOP / name, f"checkout/{name}", recursive=False)
        for name, layout in recipes.layouts().items():
            tar.add(_archive(layout, folder / f"{name}.tar"), f"images/{name}.tar")
        for cache in (recipes.cache(), _applications()):
            tar.add(cache, f"layouts/{cache.name}")
    return place


def _applications() -> Path:
    """The cache of the images of applications, all of them built."""
    (cache,) = {layout.parent for layout in applications.layouts().values()}
    return cache


def _dependencies() -> Path:
    """The wheels of requirements.lock for the machine, fetched once for each state of it."""
    lock = TOP / "requirements.lock"
    place = CACHE / f"wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if not place.exists():
        fresh = place.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        _pip("download", *FOR_THE_MACHINE, "--dest", fresh, "--requirement", lock)
        fresh.rename(place)
    return place


def _add_project(place: Path) -> None:
    """A wheel of this checkout."""
    _pip("wheel", "--no-deps", "--wheel-dir", place, TOP)


def _pip(command: str, *words: str | Path) -> None:
    pip = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip {command} failed:\n{done.stdout}{done.stderr}")


def _tracked() -> list[str]:
    """The checkout's files as they are now, without what git ignores."""
    command = ["git", "-C", str(TOP), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.splitlines() if (TOP / name).is_file()]


def _archive(layout: Path, place: Path) -> Path:
    """An OCI layout as the archive that `docker save` and skopeo write."""
    with tarfile.open(place, "w") as tar:
        for path in sorted(layout.iterdir()):
            tar.add(path, path.name)
    return place
