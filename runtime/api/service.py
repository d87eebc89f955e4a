"""What a container is to others."""

import msgspec

from runtime.api.network import Attachment


class PortSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, order=True):
    """One published port, or ``count`` adjacent ones that start at the ports given.

    No ``host_ip``: every address; no ``host_port``: a free one is picked once and kept for the
    life of the service (only of a single port).
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str | None = None
    host_port: int | None = None
    count: int = 1

    def __str__(self) -> str:
        host = f"{self.host_ip}:" if self.host_ip else ""
        published = "" if self.host_port is None else _range(self.host_port, self.count)
        return f"{host}{published}:{_range(self.container_port, self.count)}/{self.protocol}"

    def __hash__(self) -> int:
        return hash((self.container_port, self.protocol, self.host_ip, self.host_port, self.count))


def _range(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a container (all its replicas) is to others: its name in DNS, its networks, further
    names in all of them, and its published ports."""

    project: str
    name: str
    networks: tuple[Attachment, ...] = (Attachment(network="default"),)
    aliases: tuple[str, ...] = ()
    ports: tuple[PortSpec, ...] = ()
