"""`python -m tests.images serve NAME...`: images in a registry on loopback, until stdin closes.

Prints the registry's address once it answers. The examples pull from it what docker.io would
give in real life, therefore the names are those of Docker's official images.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.images import applications, recipes
from tests.images.registry import Registry, free_port

OFFICIAL = {
    "busybox": "stable",
    "nginx": "stable",
    "postgres": "15",
    "python": "3-slim",
    "redis": "7",
}


def serve(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="trueup-registry-") as storage:
        registry = Registry(Path(storage), free_port())
        try:
            layouts = dict(recipes.layouts())
            if not layouts.keys() >= set(names):
                layouts |= applications.layouts()
            registry.serve()
            for name in names:
                registry.push(layouts[name], name, OFFICIAL[name])
            print(registry.address, flush=True)
            sys.stdin.read()
        finally:
            registry.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", *names] if names and OFFICIAL.keys() >= set(names):
            serve(names)
        case _:
            sys.exit(f"usage: python -m tests.images serve {'|'.join(OFFICIAL)}...")
