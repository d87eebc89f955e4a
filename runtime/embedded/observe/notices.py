"""What will not work as the spec says, though all is as it shall be: no repair of ours would help.
Pure, in words for people."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from runtime.embedded.ledger import ServiceRow, State
from runtime.embedded.network import promises


def unpublished(state: State, project: str) -> Iterator[str]:
    """Ports of services that no way leads to."""
    for (owner, name), row in state.services.items():
        if owner == project and row.ports and row.addresses and not _leads_out(row, state):
            yield f"no port of {name} is published: all of its networks are internal"


def _leads_out(row: ServiceRow, state: State) -> bool:
    return promises.way_out(state, row.spec.project, row.spec.networks) is not None


def overlapping(state: State, project: str, routes: Mapping[IPv4Network, str]) -> Iterator[str]:
    """Routes (each with its link) that came to the host after our subnets were picked."""
    for name in state.network_names(project):
        row = state.network_of(project, name)
        for route, link in routes.items():
            if row is not None and route.overlaps(row.subnet):
                yield (
                    f"network {name}, {row.subnet}, overlaps with the host's route to {route}"
                    f" ({link or 'nowhere'}): what that leads to is not reached any more; give the"
                    " network another `subnet:`"
                )
