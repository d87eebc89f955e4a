"""The files that the engine puts into a container's /etc, which follow the ledger while it runs.

They lie in the bundle and are bound into the container, so a change goes through the same inode.
What we wrote last is kept beside each, as programs may have written to it, too: only what is
wanted anew is written anew.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runtime.api import ContainerSpec
from runtime.embedded.bundle import files
from runtime.embedded.containers import sharing
from runtime.embedded.ledger import ContainerRow, NetworkRow, State
from runtime.embedded.network import promises
from runtime.embedded.paths import Paths
from runtime.embedded.router.wiring import Pool

NAMES = ("hosts", "hostname", "resolv.conf")
_GATEWAY = "host-gateway"
_HOST = Path("/etc")


def sources(state: State, row: ContainerRow, paths: Paths) -> dict[str, Path]:
    """What is bound where, by name: of a container that shares its network, the other's."""
    bundle = paths.bundle(sharing.owner(state, row, "network_mode").id)
    return {name: bundle / name for name in NAMES}


def write(state: State, row: ContainerRow, paths: Paths) -> None:
    """Write those that are not as ``row`` says; repeating it is harmless."""
    bundle = paths.bundle(row.id)
    for name, text in _texts(state, row).items():
        _write(bundle / name, bundle / f".{name}", text)


def hostname(row: ContainerRow) -> str:
    """Its name for itself: on the host's network the host's, as with Docker."""
    if row.spec.hostname:
        return row.spec.hostname
    on_host = "host" in (row.spec.network_mode, row.spec.uts)
    return os.uname().nodename if on_host else row.id[:12]


def _texts(state: State, row: ContainerRow) -> dict[str, str]:
    name = hostname(row)
    return {
        "hosts": _hosts(state, row, name),
        "hostname": files.hostname_file(name),
        "resolv.conf": _resolv_conf(state, row),
    }


def _hosts(state: State, row: ContainerRow, name: str) -> str:
    others = [(_address(state, where), who) for who, where in row.spec.extra_hosts]
    if row.spec.network_mode == "host":
        return _of_host("hosts") + files.host_lines(others)
    full = f"{name}.{row.spec.domainname} {name}" if row.spec.domainname else name
    own = [*map(str, row.addresses.values()), *map(str, row.addresses6.values())]
    return files.hosts(full, own, others)


def _address(state: State, where: str) -> str:
    if where != _GATEWAY:
        return where
    if state.pool is None:  # nobody has a network: it is on the host's
        return "127.0.0.1"
    return str(Pool(pool=state.pool[0], shadow=state.pool[1]).uplink_host)


def _resolv_conf(state: State, row: ContainerRow) -> str:
    """Containers in networks of ours ask our server, which asks those that ``dns`` names."""
    spec = row.spec
    network = _asked(state, row)
    if network is not None:
        options = _options(spec, way_out=not network.spec.internal)
        return files.resolv_conf([str(network.gateway)], spec.dns_search, options)
    if spec.network_mode == "host" and not (spec.dns or spec.dns_search or spec.dns_opt):
        return _of_host("resolv.conf")
    servers = spec.dns or _name_servers() if spec.network_mode == "host" else spec.dns
    return files.resolv_conf(servers, spec.dns_search, spec.dns_opt)


def _asked(state: State, row: ContainerRow) -> NetworkRow | None:
    """The network whose server it asks: that of its default route, since the servers of internal
    ones know no names of outside."""
    best = promises.way_out(state, row.key.project, row.spec.networks)
    network = best if best in row.addresses else next(iter(row.addresses), None)
    return None if network is None else state.network_by_id(network)


def _options(spec: ContainerSpec, *, way_out: bool) -> Sequence[str]:
    """Names without a dot are asked as they are. A question that is lost while names change is
    asked again three seconds later; without a way out nobody answers for other names, and that
    is found after two. Whoever says something of that is heeded."""
    patience = ("timeout:3", "attempts:3") if way_out else ("timeout:1", "attempts:2")
    defaults = ("ndots:0", *patience)
    said = {option.partition(":")[0] for option in spec.dns_opt}
    return (*(o for o in defaults if o.partition(":")[0] not in said), *spec.dns_opt)


def _of_host(name: str) -> str:
    try:
        return (_HOST / name).read_text(errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _name_servers() -> tuple[str, ...]:
    lines = (line.split() for line in _of_host("resolv.conf").splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")


def _write(path: Path, kept: Path, text: str) -> None:
    wanted = text.encode(errors="surrogateescape")
    with suppress(FileNotFoundError):
        if path.exists() and kept.read_bytes() == wanted:
            return
    _replace(path, wanted)
    _replace(kept, wanted)


def _replace(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o644)  # whatever our umask
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))
    finally:
        os.close(fd)
