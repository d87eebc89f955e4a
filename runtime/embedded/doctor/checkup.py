"""What this host has and lacks for an instance, and the commands that mend it.

What can be tried is tried, in namespaces of a thread that ends with them; everything else is
read. Nothing is left behind, and nothing of the instance needs to be there.
"""

import os
from collections.abc import Callable, Iterator

from runtime.api import Finding, Verdict
from runtime.embedded.doctor import kernel, network, programs, system
from runtime.embedded.ledger import State
from runtime.embedded.paths import Paths


def findings(paths: Paths, state: Callable[[], State]) -> tuple[Finding, ...]:
    """Every check, in the order in which a host is set up. Without root what only root can see
    is left out, as are the ledger's rows, ``state``."""
    return tuple(_findings(paths, state if os.geteuid() == 0 else None))


def _findings(paths: Paths, state: Callable[[], State] | None) -> Iterator[Finding]:
    root = state is not None
    yield _root(root=root)
    yield kernel.version()
    if root:
        yield from kernel.tried(system.nearest(paths.lib))
    yield from system.cgroup_findings()
    yield from programs.findings()
    yield system.seccomp_profile()
    yield system.security_modules()
    yield from network.findings()
    if state is not None:
        yield from network.of_instance(paths, state())
    yield from system.disk(paths.lib)
    yield system.open_files()
    yield system.clock()
    if root:
        yield system.boot_state(paths)


def _root(*, root: bool) -> Finding:
    return Finding(
        subject="privileges",
        verdict=Verdict.OK if root else Verdict.BLOCKER,
        text="root" if root else "not root: only root makes namespaces, mounts and rules",
    )
