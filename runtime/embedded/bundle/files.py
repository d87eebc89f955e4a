"""The text of the files that the engine puts into /etc of a container: pure."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.errors import Fault

_OURS = ("dev", "proc", "sys")


class HostileRoot(Fault):
    """The image has something else where the engine mounts its own file systems."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"the image's {path} is not a directory",
            why="the engine mounts there, and a link or a file would lead it elsewhere",
            hint="repair the image: no program needs this",
        )


def hosts(hostname: str, addresses: Sequence[str], others: Iterable[tuple[str, str]] = ()) -> str:
    """/etc/hosts, hosts(5): loopback, the container's own ``addresses`` under its name, and
    ``others`` as (address, name)."""
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        *(f"{address}\t{hostname}" for address in addresses),
    ]
    return "".join(f"{line}\n" for line in lines) + host_lines(others)


def host_lines(others: Iterable[tuple[str, str]]) -> str:
    """Lines of hosts(5) for pairs of address and name."""
    return "".join(f"{address}\t{name}\n" for address, name in others)


def hostname_file(hostname: str) -> str:
    """/etc/hostname, hostname(5)."""
    return f"{hostname}\n"


def resolv_conf(
    servers: Sequence[str], search: Sequence[str] = (), options: Sequence[str] = ()
) -> str:
    """/etc/resolv.conf, resolv.conf(5)."""
    lines = [f"nameserver {server}" for server in servers]
    if search:
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "".join(f"{line}\n" for line in lines)


def check_root(rootfs: Path) -> None:
    """Raise ``HostileRoot`` unless /dev, /proc and /sys of the image are plain directories, or
    absent: crun would follow a link when it mounts there (CVE-2025-31133 and its kin)."""
    for name in _OURS:
        path = rootfs / name
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise HostileRoot(f"/{name}")
