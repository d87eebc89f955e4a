"""Networks, and what a container is to others: names, addresses, ports."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.values.texts import text, texts, words
from runtime.api import Attachment, NetworkSpec, PortSpec, ServiceSpec

if TYPE_CHECKING:
    from reconciler.values.names import Names
    from specs.model.container import Container
    from specs.model.network import Network
    from specs.model.project import Project

DEFAULT_NETWORK = "default"


def networks(project: "Project") -> dict[str, NetworkSpec]:
    """Those declared, and the one that containers join by default where one does."""
    from specs.model.network import Network

    declared = {str(name): each for name, each in project.networks.items()}
    used = {each.network for one in project.containers.values() for each in attachments(one)}
    if DEFAULT_NETWORK not in used and declared.get(DEFAULT_NETWORK) == Network():
        del declared[DEFAULT_NETWORK]
    return {name: _network(project.name, name, each) for name, each in sorted(declared.items())}


def _network(project: str, name: str, network: "Network") -> NetworkSpec:
    subnet6 = text(network.subnet_of(6))
    external = network.external is not None
    return NetworkSpec(
        project=project,
        name=name,
        subnet=text(network.subnet_of(4)),
        subnet6=subnet6,
        ipv6=network.enable_ipv6 or subnet6 is not None,
        internal=network.internal,
        external=external,
        full_name=full_name(name, network.name, network.external),
        labels=texts(network.labels),
    )


def full_name(key: str, name: str | None, external: str | None) -> str:
    """What other projects call it; "" for the usual name of what is the project's own."""
    return str(name or external or ("" if external is None else key))


def attachments(container: "Container") -> tuple[Attachment, ...]:
    """Its networks, those with the highest `priority` first and else by name, as Compose has it."""
    if container.network_mode:
        return ()
    if not container.networks:
        return (Attachment(network=DEFAULT_NETWORK),)
    ordered = sorted(container.networks.items(), key=lambda item: (-item[1].priority, item[0]))
    return tuple(
        Attachment(
            network=str(name),
            aliases=words(sorted(set(each.aliases))),
            ipv4_address=text(each.ipv4_address),
            ipv6_address=text(each.ipv6_address),
            gw_priority=each.gw_priority,
        )
        for name, each in ordered
    )


def service(project: str, name: str, container: "Container", names: "Names") -> ServiceSpec:
    """What others see of a container; in somebody else's network nothing."""
    ports = (
        PortSpec(
            container_port=each.container_port,
            protocol=each.protocol.value,
            host_ip=text(each.host_ip),
            host_port=each.host_port,
            count=each.count,
            choices=each.choices,
        )
        for each in (() if container.network_mode else container.ports)
    )
    return ServiceSpec(
        project=project,
        name=name,
        networks=attachments(container),
        aliases=tuple(sorted(set(_aliases(name, container, names)) - {name})),
        ports=tuple(sorted(ports, key=_port_order)),
    )


def _aliases(name: str, container: "Container", names: "Names") -> Iterator[str]:
    """Its `container_name`, and what others call it in their `links`."""
    if container.network_mode:
        return
    if container.container_name:
        yield str(container.container_name)
    yield from names.aliases.get(name, ())


def _port_order(port: PortSpec) -> tuple[int, str, str, int]:
    return port.container_port, port.protocol, port.host_ip or "", port.host_port or 0
