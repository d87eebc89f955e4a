"""`python -m tests.images serve`: the images in a registry on loopback, until stdin closes.

Prints the registry's address once it answers. The demo pulls from it what docker.io would
give in real life, therefore the names are those of Docker's official images.
"""

import sys
import tempfile
from pathlib import Path

from tests.images import recipes
from tests.images.registry import Registry, free_port

OFFICIAL = {"busybox": "stable", "nginx": "stable", "python": "3-slim"}


def serve() -> None:
    with tempfile.TemporaryDirectory(prefix="trueup-registry-") as storage:
        registry = Registry(Path(storage), free_port())
        try:
            layouts = recipes.layouts()
            registry.serve()
            for name, tag in OFFICIAL.items():
                registry.push(layouts[name], name, tag)
            print(registry.address, flush=True)
            sys.stdin.read()
        finally:
            registry.close()


if __name__ == "__main__":
    if sys.argv[1:] != ["serve"]:
        sys.exit("usage: python -m tests.images serve")
    serve()
