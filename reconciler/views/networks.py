"""Networks for people: the rows of ``network ls`` and the document of ``network inspect``."""

import hashlib
from collections.abc import Sequence

from reconciler.views.inspect import Document
from runtime.api import ObservedContainer, ObservedNetwork, ObservedService

COLUMNS = ("ID", "Name", "Driver", "Scope", "Subnet")
TITLES = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Subnet": "SUBNET",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "Project": "PROJECT",
}
_DRIVER = "routed"  # what Docker calls bridge is a router here


def name(network: ObservedNetwork) -> str:
    """``shop/back``, as everything of a project is called."""
    return f"{network.applied.project}/{network.applied.name}"


def network_id(network: ObservedNetwork) -> str:
    """64 hex digits, the same for the same name always: for scripts that want ids."""
    return hashlib.sha256(name(network).encode()).hexdigest()


def rows(networks: Sequence[ObservedNetwork], *, full: bool) -> list[dict[str, object]]:
    """A row per network, by name; ``full`` does not cut ids."""
    return [
        {
            "ID": network_id(each) if full else network_id(each)[:12],
            "Name": name(each),
            "Driver": _DRIVER,
            "Scope": "local",
            "Subnet": each.subnet,
            "IPv6": _boolean(each.applied.ipv6),
            "Internal": _boolean(each.applied.internal),
            "Labels": ",".join(f"{k}={v}" for k, v in sorted(each.applied.labels.items())),
            "Project": each.applied.project,
        }
        for each in sorted(networks, key=name)
    ]


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def document(
    network: ObservedNetwork,
    services: Sequence[ObservedService],
    containers: Sequence[ObservedContainer],
) -> Document:
    """One network in Docker's form, with the stable addresses of its services."""
    project, called = network.applied.project, network.applied.name
    pools = [{"Subnet": network.subnet, "Gateway": network.gateway}]
    if network.subnet6:
        pools.append({"Subnet": network.subnet6, "Gateway": network.gateway6})
    return {
        "Name": name(network),
        "Id": network_id(network),
        "Scope": "local",
        "Driver": _DRIVER,
        "EnableIPv6": network.applied.ipv6,
        "IPAM": {"Driver": "default", "Config": pools},
        "Internal": network.applied.internal,
        "Containers": {
            each.id: {
                "Name": str(each.key),
                "IPv4Address": each.addresses[called],
                "IPv6Address": each.addresses6.get(called, ""),
            }
            for each in containers
            if each.key.project == project and called in each.addresses
        },
        "Services": {
            each.applied.name: each.addresses[called]
            for each in services
            if each.applied.project == project and called in each.addresses
        },
        "Labels": dict(network.applied.labels),
        "Project": project,
    }
