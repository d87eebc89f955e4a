"""What the commands that work on a project share: its spec, the instance, and where passes keep
their records."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions
from runtime.backends import instance, open_runtime, prepare
from runtime.errors import Fault

if TYPE_CHECKING:
    from reconciler.desired import Desired
    from reconciler.passes import Records
    from runtime.api import Runtime
    from specs.load import Loaded


class NeedsRoot(Fault):
    """Namespaces, mounts and nftables belong to root."""

    def __init__(self) -> None:
        super().__init__(
            "trueup works as root only",
            why="it makes namespaces, mounts and nftables rules",
            hint="run the same command with sudo",
        )


@contextmanager
def opened(options: GlobalOptions) -> "Iterator[Runtime]":
    """The runtime of the instance that the options name, closed afterwards. Raises
    ``NeedsRoot``."""
    if os.geteuid() != 0:
        raise NeedsRoot
    runtime = open_runtime(options.root)
    try:
        yield runtime
    finally:
        runtime.close()


def records(options: GlobalOptions, command: str) -> "Records":
    """Where passes on that instance keep their journal and find the locks."""
    from reconciler.passes import Records

    paths = instance(options.root)
    return Records(
        command=command,
        journal=paths.records,
        locks=paths.locks,
        lock_timeout=options.lock_timeout,
        prepare=partial(prepare, options.root),
    )


def read_spec(path: Path) -> "Loaded":
    """Load the spec and tell its warnings on stderr. Raises ``SpecBroken``."""
    from reconciler.spec import read

    loaded = read(path)
    tell_warnings(loaded)
    return loaded


def tell_warnings(loaded: "Loaded") -> None:
    """Write them to stderr."""
    if loaded.warnings:
        from specs.problems import render

        sys.stderr.write("".join(f"warning: {render([each])}" for each in loaded.warnings))


def wanted(path: Path, *, frozen: bool = False) -> "Desired":
    """The spec as what shall be, its images as its lock file pins them; tells on stderr what is to
    be known of both. Raises ``SpecBroken``, and ``NotLocked`` if ``frozen``."""
    from reconciler.desired import desire
    from reconciler.lock_file import check_frozen, read_beside

    desired = desire(read_spec(path).project, lock=read_beside(path))
    if frozen:
        check_frozen(desired.project, desired.locking)
    tell_locking(desired)
    return desired


def tell_locking(desired: "Desired") -> None:
    """Write to stderr that the lock file is behind its spec."""
    if warning := desired.locking.warning:
        from reconciler.views.terminal import escape

        sys.stderr.write(f"warning: {escape(warning)}\n")
