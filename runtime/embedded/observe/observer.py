"""The world as it is, read from the kernel, conmon's files and the ledger: reads only.

What a row promises and the kernel does not keep becomes a ``Defect`` with its cause in words.
"""

from collections.abc import Iterator

import msgspec

from runtime.api import (
    Defect,
    DefectKind,
    Observed,
    ObservedNetwork,
    ObservedVolume,
    PortHolder,
    PortSpec,
    Query,
)
from runtime.embedded import boot
from runtime.embedded.ledger import State
from runtime.embedded.network import promises, publishing
from runtime.embedded.network.kernel import Network
from runtime.embedded.observe import notices
from runtime.embedded.observe.containers import (
    Broken,
    ContainerObserver,
    observed_network,
    observed_service,
)
from runtime.embedded.paths import Paths
from runtime.embedded.store.images import ImageStore
from runtime.embedded.store.states import states
from runtime.embedded.volumes import Volumes


class Observer(msgspec.Struct, frozen=True, kw_only=True):
    """Looks at one instance."""

    paths: Paths
    store: ImageStore
    volumes: Volumes
    network: Network
    containers: ContainerObserver

    def observe(self, state: State, query: Query) -> Observed:
        """One project as it is, and what else ``query`` asks."""
        project = query.project
        host, broken = self._defects(state, project)
        return Observed(
            project=project,
            spec_path=state.projects.get(project, ""),
            images=states(self.store, query.images, query.registries, offline=query.offline),
            volumes=self._volumes(query),
            networks=_others_networks(state, query) | _networks(state, project),
            services={
                name: observed_service(row, state)
                for (owner, name), row in state.services.items()
                if owner == project
            },
            containers=self.containers.look(state, project=project, broken=broken),
            generations={
                str(key): last for key, last in state.generations.items() if key.project == project
            },
            port_holders=self._port_holders(state, query),
            defects=host,
            warnings=tuple(self._warnings(state, query)),
        )

    def _volumes(self, query: Query) -> dict[str, ObservedVolume]:
        """Its own by name, and those of others that it uses by the name that it has for them."""
        others = ((spec.name, self.volumes.known(spec)) for spec in query.volumes)
        own = {each.applied.name: each for each in self.volumes.of(query.project)}
        return {name: each for name, each in others if each is not None} | {
            name: each for name, each in own.items() if not each.applied.external
        }

    def _warnings(self, state: State, query: Query) -> Iterator[str]:
        yield from notices.unpublished(state, query.project)
        if state.network_names(query.project):
            yield from notices.overlapping(state, query.project, self.network.host_networks())
        yield from self._closed_ways(state, query)

    def _closed_ways(self, state: State, query: Query) -> Iterator[str]:
        """What the host's own firewalls do to ports that shall be published."""
        if not query.ports:
            return
        ports = [port for _, port in query.ports]
        for each in self.network.closed_ways(promises.wiring(state), ports):
            yield f"{each.text}; to open it: {' && '.join(each.commands)}"

    # --- beside the containers --------------------------------------------------------------

    def _defects(self, state: State, project: str) -> tuple[tuple[Defect, ...], Broken]:
        """Of the host, if the project has a network; and of its running containers' links."""
        wiring = promises.wiring(state)
        if wiring is None or not state.network_names(project):
            return (), {}
        if not boot.is_current(self.paths):
            return (Defect(kind=DefectKind.HOST, cause="the machine was started anew"),), {}
        links = tuple(
            link
            for row in state.containers.values()
            if row.key.project == project and row.whole
            for link in promises.links(state, row, self.paths)
        )
        return self.network.defects(wiring, links)

    def _port_holders(self, state: State, query: Query) -> tuple[PortHolder, ...]:
        """Who has the ports that the project wants: another service of ours, or a stranger."""
        found: list[PortHolder] = []
        strangers = {}
        for _, port in query.ports:
            if port.host_port is None:
                continue
            holder = publishing.claimant(state, query.project, port)
            if holder is not None:
                found.append(PortHolder(port=port, holder=holder))
            elif not _reserved(state, query.project, port):
                strangers[port.host_ip, port.host_port, port.protocol, port.count] = port
        if strangers:
            for wanted, name in self.network.holders(tuple(strangers)).items():
                found.append(PortHolder(port=strangers[wanted], holder=name))
        return tuple(found)


def _networks(state: State, project: str) -> dict[str, ObservedNetwork]:
    """By the project's own names; those of others included that it uses."""
    names = state.network_names(project)
    rows = ((name, state.network_of(project, name)) for name in names)
    return {name: observed_network(row) for name, row in rows if row is not None}


def _others_networks(state: State, query: Query) -> dict[str, ObservedNetwork]:
    """Those of others that it asks for, by the name that it has for them."""
    by_name = {row.spec.known_as: row for row in state.networks.values()}
    asked = ((spec.name, by_name.get(spec.known_as)) for spec in query.networks)
    return {name: observed_network(row) for name, row in asked if row is not None}


def _reserved(state: State, project: str, port: PortSpec) -> bool:
    """Whether a service of the project has the port already: then our own holder has it."""
    return any(
        spec == port
        for (owner, _), row in state.services.items()
        if owner == project
        for spec, _ in row.ports
    )
