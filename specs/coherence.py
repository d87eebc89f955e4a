"""What the fields of one container say together: limits, replicas, whose network it is in."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from specs.model.container import Container
from specs.model.modes import joined
from specs.neighbours import fixed_addresses, place_of
from specs.nodes import Map, Node, nearest_place
from specs.problems import Problem, problem_at, quoted
from specs.scalars import render_bytes

# Fields that Compose has twice: where else, and what is said there.
_DEPLOYED: Final[dict[str, tuple[str, ...]]] = {
    "mem_limit": ("resources", "limits", "memory"),
    "cpus": ("resources", "limits", "cpus"),
    "pids_limit": ("resources", "limits", "pids"),
    "mem_reservation": ("resources", "reservations", "memory"),
    "replicas": ("replicas",),
    "scale": ("replicas",),
}


@dataclass(frozen=True, slots=True)
class Coherence:
    """One container and its place in the tree."""

    root: Map
    name: str
    container: Container

    def problems(self) -> Iterator[Problem]:
        """All that contradicts itself."""
        return chain(
            self._said_twice(),
            self._limits(),
            self._processor_time(),
            self._replicas(),
            self._network(),
            self._host_names(),
        )

    def _problem(self, field: str, text: str, hint: str = "") -> Problem:
        place = place_of(self.root, self.name, field)
        return problem_at(place, f"container {quoted(self.name)}: {text}", hint=hint)

    def _said_twice(self) -> Iterator[Problem]:
        """Two fields for one thing, with different values."""
        one = self.container
        for field, path in _DEPLOYED.items():
            own, deployed = getattr(one, field), _value_at(one.deploy, path)
            if own is not None and deployed is not None and own != deployed:
                other = ".".join(("deploy", *path))
                yield self._problem(field, f"`{field}` and `{other}` say different things")
        if one.replicas is not None and one.scale not in (None, one.replicas):
            yield self._problem("scale", "`scale` and `replicas` say different things")
        if one.update is not None and one.deploy and one.deploy.update_config is not None:
            yield self._problem("update", "takes either `update` or `deploy.update_config`")

    def _limits(self) -> Iterator[Problem]:
        one = self.container
        deployed = one.deploy.resources if one.deploy else None
        most = one.mem_limit or (deployed.limits.memory if deployed else None)
        kept = one.mem_reservation or (deployed.reservations.memory if deployed else None)
        if kept and most and kept > most:
            text = f"{render_bytes(kept)} are reserved, and {render_bytes(most)} are the limit"
            field = "mem_reservation" if one.mem_reservation else "deploy"
            yield self._problem(field, text, "a reservation is below the limit")
        swap = one.memswap_limit
        if swap and most is None:
            hint = "it counts memory and swap together"
            yield self._problem("memswap_limit", "`memswap_limit` needs a `mem_limit`", hint)
        elif swap and swap != -1 and most and swap < most:
            text = f"`memswap_limit` is below the memory limit of {render_bytes(most)}"
            yield self._problem("memswap_limit", text, "it counts memory and swap together")

    def _processor_time(self) -> Iterator[Problem]:
        one = self.container
        if one.cpu_quota is not None and one.cpus is not None:
            yield self._problem("cpu_quota", "takes either `cpus` or `cpu_quota`")
        if one.cpu_period is not None and one.cpu_quota is None:
            yield self._problem("cpu_period", "`cpu_period` needs a `cpu_quota`")

    def _replicas(self) -> Iterator[Problem]:
        """What only one container can have."""
        if self.container.count < 2:
            return
        if self.container.container_name is not None:
            text = "`container_name` can be the name of one container only"
            yield self._problem("container_name", text, "leave it out where there are replicas")
        if self.container.mac_address is not None:
            text = "only one replica can have a `mac_address`"
            yield self._problem("mac_address", text)
        for network, attachment in self.container.networks.items():
            for field, address in fixed_addresses(attachment):
                place = self._at("networks", network, field)
                text = f"container {quoted(self.name)}: only one replica can have {address}"
                yield problem_at(place, text, hint="the service's own address stays the same")

    def _network(self) -> Iterator[Problem]:
        one, mode = self.container, self.container.network_mode
        if not mode:
            return
        for field in ("networks", "mac_address"):
            if getattr(one, field):
                text = f"takes either `{field}` or `network_mode: {mode}`"
                yield self._problem(field, text)
        if (other := joined(mode)) and one.ports:
            text = f"has the network of {quoted(other)}, which publishes its ports"
            yield self._problem("ports", text, f"publish them on {quoted(other)}")
        if mode != "none":
            for name in one.sysctls:
                if name.startswith(("net.", "net/")):
                    text = f"{quoted(name)} is not its own with `network_mode: {mode}`"
                    yield problem_at(
                        self._at("sysctls", name), f"container {quoted(self.name)}: {text}"
                    )

    def _host_names(self) -> Iterator[Problem]:
        one = self.container
        if one.uts == "host" and (one.hostname or one.domainname):
            field = "hostname" if one.hostname else "domainname"
            yield self._problem(field, f"takes either `{field}` or `uts: host`")

    def _at(self, *path: str) -> Node | None:
        return nearest_place(self.root, ("containers", self.name, *path))


def _value_at(value: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        value = getattr(value, part, None)
    return value
