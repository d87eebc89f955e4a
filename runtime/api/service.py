"""What a container is to others."""

import msgspec

from runtime.api.network import Attachment


class PortSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, order=True):
    """One published port, or ``count`` adjacent ones that start at the ports given.

    No ``host_ip``: every address, ``0.0.0.0`` and ``::``: every one of the family. No
    ``host_port``: a free one, or one of ``choices`` (the first and the last), is picked once and
    kept for the life of the service (only of a single port).
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str | None = None
    host_port: int | None = None
    count: int = 1
    choices: tuple[int, int] | None = None

    def __str__(self) -> str:
        inside = span(self.container_port, self.count)
        return f"{self.host}{self.published}:{inside}/{self.protocol}"

    @property
    def host(self) -> str:
        """The host's address with a colon, IPv6 ones in brackets; "" for every address."""
        address = self.host_ip or ""
        return f"[{address}]:" if ":" in address else f"{address}:" if address else ""

    @property
    def published(self) -> str:
        """The host's side as people write it: ``8080``, ``9000-9010``, "" for any free port."""
        if self.choices is not None:
            return f"{self.choices[0]}-{self.choices[1]}"
        return "" if self.host_port is None else span(self.host_port, self.count)

    def __hash__(self) -> int:
        return hash((self.container_port, self.protocol, self.host_ip, self.host_port, self.count))


def span(first: int, count: int) -> str:
    """``80``, or ``9000-9010`` for eleven ports."""
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a container (all its replicas) is to others: its name in DNS, its networks, further
    names in all of them, and its published ports."""

    project: str
    name: str
    networks: tuple[Attachment, ...] = (Attachment(network="default"),)
    aliases: tuple[str, ...] = ()
    ports: tuple[PortSpec, ...] = ()
