"""Images of the servers that applications stand on: redis and postgres, as Docker's official ones.

They take the same variables and commands as those do. Only who asks for them pays for them.
"""

from collections.abc import Mapping
from pathlib import Path

from tests.images import layers, oci, recipes
from tests.images.layers import Layer, directory, file, symlink

HERE = Path(__file__).parent
# What Debian's packages bring along and the servers do without: the compiler of queries (130 MB)
# and the scripts that manage clusters.
LIBRARIES = tuple(f"usr/lib/{machine}-linux-gnu" for machine in ("x86_64", "aarch64"))
UNUSED = (
    *(f"{place}/{name}" for place in LIBRARIES for name in ("libLLVM", "libz3", "perl", "libperl")),
    *("usr/bin/perl", "usr/share/perl", "usr/share/i18n", "usr/share/postgresql-common"),
)
ID = 999  # of both users, as in the official images


def layouts() -> Mapping[str, Path]:
    """Name -> OCI layout, built now where the cache lacks it."""
    sources = (Path(__file__), Path(recipes.__file__), *sorted(HERE.glob("*-entrypoint")))
    return recipes.built(recipes.place_for(*sources), IMAGES)


def _redis(place: Path, base: Layer) -> oci.Image:
    full = recipes.unpacked(place, "redis", "redis-server", without=UNUSED)
    extra = {**_entrypoint("redis"), "data": directory(uid=ID, gid=ID)}
    config = {
        "Cmd": ["redis-server"],
        "Entrypoint": ["redis-entrypoint"],
        "Env": [recipes.PATH],
        "ExposedPorts": {"6379/tcp": {}},
        "User": "redis",
        "Volumes": {"/data": {}},
        "WorkingDir": "/data",
    }
    return _image(full, base, "redis", extra, config)


def _postgres(place: Path, base: Layer) -> oci.Image:
    full = recipes.unpacked(place, "postgres", "postgresql", "util-linux", without=UNUSED)
    (program,) = (name for name in full if name.endswith("/bin/initdb"))
    owned = directory(uid=ID, gid=ID)
    extra = {
        **_entrypoint("postgres"),
        "run": directory(),
        "run/postgresql": owned,
        "var/lib/postgresql": owned,
        "var/lib/postgresql/data": owned,
        "var/run": symlink("/run"),
    }
    config = {
        "Cmd": ["postgres"],
        "Entrypoint": ["postgres-entrypoint"],
        "Env": [
            f"{recipes.PATH}:/{program.removesuffix('/initdb')}",
            "PGDATA=/var/lib/postgresql/data",
        ],
        "ExposedPorts": {"5432/tcp": {}},
        "StopSignal": "SIGINT",
        "Volumes": {"/var/lib/postgresql/data": {}},
    }
    return _image(full, base, "postgres", extra, config)


def _entrypoint(name: str) -> Layer:
    script = (HERE / f"{name}-entrypoint").read_bytes()
    return {f"usr/local/bin/{name}-entrypoint": file(script, mode=0o755)}


def _image(
    full: Layer, base: Layer, user: str, extra: Layer, config: Mapping[str, object]
) -> oci.Image:
    """The base, and over it the packages with a ``user`` of their own and ``extra``."""
    root = recipes.with_users(full)
    users = {
        "etc/passwd": f"{user}:x:{ID}:{ID}::/:/bin/sh\n",
        "etc/group": f"{user}:x:{ID}:\n",
    }
    added = {name: file(root[name].content + line.encode()) for name, line in users.items()}
    above = {**layers.difference(root, base), **added, **extra}
    return oci.Image(layers=[base, above], config=config)


IMAGES: recipes.Recipes = {"postgres": _postgres, "redis": _redis}
