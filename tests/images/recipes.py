"""The images by name, built once and kept in the cache.

busybox is one small layer. nginx and python stand on a shared base layer (C library, TLS,
busybox as the shell), so that pulling both proves that a shared layer is stored once.
Packages are unpacked by mmdebstrap without their maintainer scripts: what those would do
(users, the link to the log) is written here.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.images import layers, oci
from tests.images.layers import Layer, directory, file, symlink

BASE = ("base-files", "base-passwd", "busybox-static", "openssl", "zlib1g")
HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"
NOISE = (
    "dev/",
    "etc/apt/",
    "etc/resolv.conf",  # the builder's own
    "etc/hostname",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/vim",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
)
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PAGE = "It works.\n"
NGINX_SITE = """\
server {
    listen 80 default_server;
    root /usr/share/nginx/html;
}
"""


def cache() -> Path:
    """Where built images live between runs: one directory for each state of these recipes."""
    return place_for(Path(__file__))


def place_for(*recipes: Path) -> Path:
    """A directory in the cache for each state of ``recipes`` and of what they are written with."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    sources = [Path(module.__file__ or "") for module in (layers, oci)] + list(recipes)
    text = b"".join(source.read_bytes() for source in sources) + _suite().encode()
    return Path(home) / "trueup-tests" / hashlib.sha256(text).hexdigest()[:16]


def layouts() -> Mapping[str, Path]:
    """Name -> OCI layout of the images that most tests need."""
    return built(cache(), IMAGES)


def built(place: Path, images: "Recipes") -> Mapping[str, Path]:
    """Name -> OCI layout below ``place``, built now where it is not complete. Safe beside another
    builder."""
    with _locked(place):
        if not (place / "complete").exists():
            _build_all(place, images)
    return {name: place / name for name in images}


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_all(place: Path, images: "Recipes") -> None:
    base = with_users(unpacked(place, "base"))
    for name, build in images.items():
        shutil.rmtree(place / name, ignore_errors=True)
        oci.write(build(place, base), place / name)
    for archive in place.glob("*.tar"):
        archive.unlink()
    (place / "complete").touch()


def _suite() -> str:
    """The release's code name; the mirror follows from it."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise RuntimeError("/etc/os-release has no VERSION_CODENAME: Debian or Ubuntu is needed")


def unpacked(place: Path, name: str, *packages: str, without: Sequence[str] = ()) -> Layer:
    """The root file system of the base and ``packages``, without documentation and ``without``
    what starts with these words."""
    archive = place / f"{name}.tar"
    wanted = ",".join((*BASE, *packages))
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={wanted}"]
    command += [f"--hook-dir={HOOKS}", "--components=main,universe" if _is_ubuntu() else ""]
    command += [_suite(), str(archive)]
    done = subprocess.run([word for word in command if word], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"mmdebstrap failed for {wanted}:\n{done.stdout}{done.stderr}")
    return layers.read(archive, without=(*NOISE, *without))


def _is_ubuntu() -> bool:
    return "\nID=ubuntu" in "\n" + Path("/etc/os-release").read_text()


def with_users(root: Layer) -> Layer:
    """Users and groups as base-passwd's script makes them, and busybox as the shell."""
    masters = {
        f"etc/{name}": file(root[f"usr/share/base-passwd/{name}.master"].content)
        for name in ("passwd", "group")
    }
    return {**root, **masters, "usr/bin/sh": symlink("busybox")}


def busybox() -> oci.Image:
    """The busybox image as a value: what tests put their own layers and defaults on."""
    program = shutil.which("busybox") or "/bin/busybox"
    listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    applets = {f"bin/{name}": symlink("busybox") for name in listed.stdout.split()}
    root: dict[str, layers.Entry] = {
        **applets,
        "bin": directory(),
        "bin/busybox": file(Path(program).read_bytes(), mode=0o755),
        "dev": directory(),
        "etc": directory(),
        "etc/passwd": file(
            "root:x:0:0:root:/root:/bin/sh\n"
            "www:x:33:33:www:/www:/bin/false\n"
            "user:x:1000:1000::/home/user:/bin/sh\n"
        ),
        "etc/group": file("root:x:0:\nwww:x:33:\nuser:x:1000:\nextra:x:2000:user\n"),
        "home": directory(),
        "home/user": directory(uid=1000, gid=1000),
        "proc": directory(),
        "root": directory(mode=0o700),
        "sys": directory(),
        "tmp": directory(mode=0o1777),
        "var": directory(),
        "www": directory(),
        "www/index.html": file(PAGE),
    }
    command = ["httpd", "-f", "-p", "80", "-h", "/www"]
    return oci.Image(layers=[root], config={"Cmd": command, "Env": [PATH]})


def _nginx(place: Path, base: Layer) -> oci.Image:
    full = with_users(unpacked(place, "nginx", "nginx"))
    extra: Layer = {
        "etc/nginx/conf.d/default.conf": file(NGINX_SITE),
        "run": directory(),
        "var/log/nginx/access.log": symlink("/dev/stdout"),
        "var/log/nginx/error.log": symlink("/dev/stderr"),
    }
    config = {
        "Cmd": ["nginx", "-g", "daemon off;"],
        "Env": [PATH],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
    }
    return oci.Image(layers=[base, {**layers.difference(full, base), **extra}], config=config)


def _python(place: Path, base: Layer) -> oci.Image:
    full = with_users(unpacked(place, "python", "python3"))
    config = {"Cmd": ["python3"], "Env": [PATH, "PYTHONUNBUFFERED=1"]}
    return oci.Image(layers=[base, layers.difference(full, base)], config=config)


Recipes = Mapping[str, Callable[[Path, Layer], oci.Image]]
"""Name -> what makes the image, given a folder to work in and the base layer."""

IMAGES: Recipes = {
    "busybox": lambda _place, _base: busybox(),
    "nginx": _nginx,
    "python": _python,
}
