"""Networks, and what a container is to others in them."""

import msgspec


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network of a project; ``subnet`` in CIDR form, None for one that the engine picks."""

    project: str
    name: str
    subnet: str | None = None


class PortSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, order=True):
    """One published port. No ``host_ip``: every address; no ``host_port``: a free one is picked
    once and kept for the life of the service."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str | None = None
    host_port: int | None = None

    def __str__(self) -> str:
        host = f"{self.host_ip}:" if self.host_ip else ""
        return f"{host}{self.host_port or ''}:{self.container_port}/{self.protocol}"

    def __hash__(self) -> int:
        return hash((self.container_port, self.protocol, self.host_ip, self.host_port))


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a container is to others: its name in DNS, its networks and its published ports."""

    project: str
    name: str
    networks: tuple[str, ...] = ("default",)
    aliases: tuple[str, ...] = ()
    ports: tuple[PortSpec, ...] = ()
