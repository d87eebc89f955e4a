"""What containers say of their networks and of each other, held against what is declared.

Names may be keys of `containers:`, or a `container_name`; a network's addresses belong to one
container each.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Final

from specs.model.attachment import Attachment
from specs.model.container import Container
from specs.model.modes import joined
from specs.model.mount import AnonymousVolume
from specs.model.network import DEFAULT, Network
from specs.nodes import List, Map, Node, nearest_place
from specs.problems import Problem, nearest_word, problem_at, quoted

MODES: Final = ("network_mode", "pid", "ipc")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def place_of(root: Map, container: str, field: str, name: str = "") -> Node | None:
    """Where a container's field speaks of `name`: an item of a list, a key of a map."""
    node = root["containers"][container].get(field)
    if isinstance(node, List):
        found = (item for item in node if _speaks_of(item, name))
        return next(found, None) or nearest_place(root, ("containers", container, field))
    return nearest_place(root, ("containers", container, field, name))


def _speaks_of(item: object, name: str) -> bool:
    text = str(item).removeprefix("container:")
    return text == name or text.startswith(f"{name}:")


def keys_by_name(containers: Mapping[str, Container]) -> dict[str, str]:
    """The containers by every name that may be meant: their keys, and a `container_name`."""
    named = {each.container_name: key for key, each in containers.items() if each.container_name}
    return {**named, **{key: key for key in containers}}


def needs(container: Container, keys: Mapping[str, str]) -> dict[str, str]:
    """Every container that must be there before this one, and the field that says so."""
    found = dict.fromkeys(container.depends_on, "depends_on")
    for field, name in _named(container):
        found.setdefault(keys.get(name, name), field)
    return found


def _named(container: Container) -> Iterator[tuple[str, str]]:
    """(field, name) of containers that are named elsewhere than in `depends_on`."""
    for field in MODES:
        if name := joined(getattr(container, field)):
            yield field, name
    for field in ("links", "volumes_from"):
        for name, _ in getattr(container, field):
            yield field, name


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The containers of a project that could be read, and its networks."""

    root: Map
    containers: Mapping[str, Container]
    networks: Mapping[str, Network]
    keys: Mapping[str, str]

    def problems(self) -> Iterator[Problem]:
        """All that is wrong between them."""
        return chain(
            self._unknown_networks(),
            self._unknown_containers(),
            self._shared_with_several(),
            self._shared_with_nobody(),
            self._unshareable_volumes(),
            self._names_taken(),
            self._wrong_addresses(),
            self._addresses_taken(),
            self._subnets_that_overlap(),
            self._two_platforms(),
            self._ports_without_ipv6(),
        )

    def _unknown_networks(self) -> Iterator[Problem]:
        declared = {DEFAULT, *self.root.get("networks", {})}
        for name, container in self.containers.items():
            for network in container.networks:
                if network not in declared:
                    text = f"container {quoted(name)}: there is no network {quoted(network)}"
                    near = nearest_word(network, declared)
                    hint = "" if near else "declare it under `networks:`"
                    place = place_of(self.root, name, "networks", network)
                    yield problem_at(place, text, nearest=near, hint=hint)

    def _unknown_containers(self) -> Iterator[Problem]:
        declared = {*self.root.get("containers", {})}
        for name, container in self.containers.items():
            for field, other in _named(container):
                if self.keys.get(other, other) not in declared:
                    place = place_of(self.root, name, field, other)
                    text = f"container {quoted(name)}: there is no container {quoted(other)}"
                    near = nearest_word(other, declared - {name})
                    hint = "" if near else "it must be one of this project"
                    yield problem_at(place, text, nearest=near, hint=hint)

    def _shared_with_several(self) -> Iterator[Problem]:
        for name, container in self.containers.items():
            for field in MODES:
                other = self._container(joined(getattr(container, field)))
                if other is not None and other.count > 1:
                    named = quoted(joined(getattr(container, field)))
                    text = f"container {quoted(name)}: there is more than one {named}"
                    hint = f"`{field}` can name only a container without replicas"
                    yield problem_at(place_of(self.root, name, field), text, hint=hint)

    def _shared_with_nobody(self) -> Iterator[Problem]:
        """Unlike the other namespaces that of IPC is shared only by who says so."""
        for name, container in self.containers.items():
            other = self._container(joined(container.ipc))
            if other is not None and not (other.ipc in ("shareable", "host") or joined(other.ipc)):
                named = quoted(joined(container.ipc))
                text = f"container {quoted(name)}: {named} keeps its shared memory for itself"
                hint = f"set `ipc: shareable` on {named}"
                yield problem_at(place_of(self.root, name, "ipc"), text, hint=hint)

    def _container(self, name: str) -> Container | None:
        return self.containers.get(self.keys.get(name, name))

    def _unshareable_volumes(self) -> Iterator[Problem]:
        for name, container in self.containers.items():
            for other, _ in container.volumes_from:
                source = self._container(other)
                for mount in source.volumes if source else ():
                    if isinstance(mount, AnonymousVolume):
                        text = f"container {quoted(name)}: the volume of {quoted(other)} at "
                        text += f"{quoted(mount.target)} has no name, so nobody else can have it"
                        hint = f"give it a name there: `NAME:{mount.target}`"
                        place = place_of(self.root, name, "volumes_from", other)
                        yield problem_at(place, text, hint=hint)

    def _names_taken(self) -> Iterator[Problem]:
        """A `container_name` must lead to one container."""
        owners: dict[str, str] = {}
        for name, container in self.containers.items():
            said = container.container_name
            if said is None:
                continue
            place = place_of(self.root, name, "container_name")
            if said in self.root.get("containers", {}) and said != name:
                text = f"container {quoted(name)}: {quoted(said)} is another container's name"
                yield problem_at(place, text)
            first = owners.setdefault(said, name)
            if first != name:
                text = f"the name {quoted(said)} is taken twice"
                other = place_of(self.root, first, "container_name")
                yield _clash(text, place, other, f"by container {quoted(first)} at")

    def _wrong_addresses(self) -> Iterator[Problem]:
        for name, network, field, address in self._fixed():
            declared = self.networks.get(network)
            if declared is None or declared.external is not None:
                continue
            subnet = declared.subnet_of(address.version)
            if problem := _fault_of(address, subnet, network):
                text, hint = problem
                place = nearest_place(self.root, ("containers", name, "networks", network, field))
                yield problem_at(place, f"container {quoted(name)}: {text}", hint=hint)

    def _addresses_taken(self) -> Iterator[Problem]:
        owners: dict[tuple[str, Address], tuple[str, str]] = {}
        for name, network, field, address in self._fixed():
            first, first_field = owners.setdefault((network, address), (name, field))
            if first != name:
                text = f"the address {address} is given twice in network {quoted(network)}"
                path = ("containers", name, "networks", network, field)
                other = ("containers", first, "networks", network, first_field)
                places = nearest_place(self.root, path), nearest_place(self.root, other)
                yield _clash(text, *places, f"to container {quoted(first)} at")

    def _ports_without_ipv6(self) -> Iterator[Problem]:
        """The kernel translates no version of IP into the other."""
        for name, container in self.containers.items():
            if any(self._may_have_ipv6(each) for each in container.networks or (DEFAULT,)):
                continue
            for port in container.ports:
                if port.host_ip is not None and ":" in port.host_ip:
                    text = f"container {quoted(name)}: none of its networks has IPv6, so nothing"
                    text += f" can be published on {quoted(port.host_ip)}"
                    hint = "say `enable_ipv6: true` of a network"
                    yield problem_at(place_of(self.root, name, "ports"), text, hint=hint)
                    break

    def _may_have_ipv6(self, name: str) -> bool:
        """Of a network that is declared elsewhere nobody knows here."""
        network = self.networks.get(name)
        if network is None:
            return False
        return bool(network.enable_ipv6 or network.external or network.subnet_of(6))

    def _fixed(self) -> Iterator[tuple[str, str, str, Address]]:
        """(container, network, field, address) of every fixed address."""
        for name, container in self.containers.items():
            for network, attachment in container.networks.items():
                for field, address in fixed_addresses(attachment):
                    yield name, network, field, ipaddress.ip_address(address)

    def _subnets_that_overlap(self) -> Iterator[Problem]:
        subnets = [
            (name, ipaddress.ip_network(subnet))
            for name, network in self.networks.items()
            for subnet in network.subnets
        ]
        for (first, one), (second, two) in combinations(subnets, 2):
            if one.version == two.version and one.overlaps(two):
                text = f"{two} overlaps with {one}"
                place = nearest_place(self.root, ("networks", second))
                other = nearest_place(self.root, ("networks", first))
                yield _clash(text, place, other, f"of network {quoted(first)} at")

    def _two_platforms(self) -> Iterator[Problem]:
        """An image is here once, for one platform. What is one image under two names is not known
        here yet."""
        said: dict[str, tuple[str, str]] = {}
        for name, container in self.containers.items():
            if container.platform is None:
                continue
            first, platform = said.setdefault(container.image, (name, container.platform))
            if platform != container.platform:
                text = f"{quoted(container.image)} cannot be here for two platforms at a time"
                place = place_of(self.root, name, "platform")
                other = place_of(self.root, first, "platform")
                yield _clash(text, place, other, f"for {platform} at")


def fixed_addresses(attachment: Attachment) -> Iterator[tuple[str, str]]:
    """(field, address) of what is fixed."""
    for field in ("ipv4_address", "ipv6_address"):
        if address := getattr(attachment, field):
            yield field, address


def _fault_of(address: Address, subnet: str | None, network: str) -> tuple[str, str] | None:
    """What keeps a container from having this address, and what would help."""
    if subnet is None:
        text = f"the address {address} needs a network with a `subnet`"
        return text, f"give {quoted(network)} one under `networks:`"
    whole = ipaddress.ip_network(subnet)
    if address not in whole:
        return f"the address {address} is outside of {subnet}, the subnet of {quoted(network)}", ""
    if address == whole[1]:
        return f"the address {address} is the router's in {quoted(network)}", "take a higher one"
    if address in (whole[0], whole[-1]):
        return f"the address {address} is the first or last of {subnet}", "take one between"
    return None


def _clash(text: str, place: Node | None, other: Node | None, relation: str) -> Problem:
    return Problem(
        text=text,
        span=None if place is None else place.span,
        width=1 if place is None else place.width,
        other=None if other is None else other.span,
        other_text=relation,
    )
