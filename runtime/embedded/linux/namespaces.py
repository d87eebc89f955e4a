"""Network namespaces: made, named by a bind mount, entered by a thread; namespaces(7), setns(2).

A thread that enters a namespace never comes back: its work runs there and the thread ends.
What it opened (a netlink socket, an nftables context) keeps belonging to that namespace, and
a program that it starts lives in it.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from runtime.embedded.linux.libc import check, libc
from runtime.embedded.linux.mounts import bind, unmount

Result = TypeVar("Result")

CLONE_NEWNET = 0x40000000


def in_thread(work: Callable[[], Result]) -> Result:
    """Run ``work`` in a thread of its own and return what it returned, or raise what it raised."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as failure:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(failure)

    thread = threading.Thread(target=body, name="namespace", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def inside(namespace: Path, work: Callable[[], Result]) -> Result:
    """Run ``work`` in the network namespace that is bound at ``namespace``."""

    def entered() -> Result:
        fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            check(libc.setns(fd, CLONE_NEWNET), f"enter {namespace}")
        finally:
            os.close(fd)
        return work()

    return in_thread(entered)


def create(namespace: Path) -> None:
    """Make a network namespace and bind it at ``namespace``; one that is there is kept."""
    if exists(namespace):
        return
    namespace.touch(mode=0o600)

    def body() -> None:
        check(libc.unshare(CLONE_NEWNET), "unshare the network namespace")
        bind("/proc/thread-self/ns/net", str(namespace))

    in_thread(body)


def exists(namespace: Path) -> bool:
    """Whether a network namespace is bound at ``namespace`` (an nsfs file, not a plain one)."""
    with suppress(FileNotFoundError):
        return os.stat(namespace).st_dev == os.stat("/proc/self/ns/net").st_dev
    return False


def remove(namespace: Path) -> None:
    """Take the name away; the kernel drops the namespace with its last user. Idempotent."""
    if exists(namespace):
        unmount(str(namespace))
    with suppress(FileNotFoundError):
        namespace.unlink()
