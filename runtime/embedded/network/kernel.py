"""The network of an instance: values of the ledger in, a kernel that agrees out.

Every verb is called under the host lock. Nothing is remembered between calls but open doors
into the two namespaces, and those are checked: other processes come and go, and what counts is
what the kernel and the files of this boot say.
"""

import errno
import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from msgspec.structs import replace

from runtime import durable
from runtime.api import Defect, DefectKind, Finding, PortSpec
from runtime.embedded import faults
from runtime.embedded.dns import zones
from runtime.embedded.dns.aardvark import Server
from runtime.embedded.linux import conntrack, namespaces, rtnetlink
from runtime.embedded.linux.conntrack import Flows
from runtime.embedded.linux.rtnetlink import Address, Version
from runtime.embedded.nft import compare, ruleset
from runtime.embedded.nft.apply import RulesRefused
from runtime.embedded.nft.ruleset import Table
from runtime.embedded.paths import Paths
from runtime.embedded.ports import flows, picking
from runtime.embedded.ports.claims import Claim, Wanted, claims
from runtime.embedded.ports.docker import DockerChain
from runtime.embedded.ports.holder import Holder
from runtime.embedded.ports.strangers import holders
from runtime.embedded.ports.table import OPENED, OPENED6, HostSide, host_table
from runtime.embedded.router import forwarding, links, uplink
from runtime.embedded.router.doors import Doors
from runtime.embedded.router.isolation import UPLINK
from runtime.embedded.router.layout import LOOPBACK_NAME, host_layout, router_layout
from runtime.embedded.router.table import router_table
from runtime.embedded.router.wiring import Link, PortWire, Wiring
from runtime.errors import Fault

_OWN_IN_ROUTER = (LOOPBACK_NAME, UPLINK, "")
TABLES = "trueup"  # how the tables of all instances begin
_UDP = socket.IPPROTO_UDP
_RESOLV_CONF = Path("/etc/resolv.conf")
# systemd-resolved lists the real name servers there, when /etc/resolv.conf names only itself.
_RESOLVED = Path("/run/systemd/resolve/resolv.conf")
_SHOWN_CAUSES = 6
_OPENED: dict[Version, str] = {4: OPENED, 6: OPENED6}


class Network:
    """The facade that the engine calls; cheap to make."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._holder = Holder(paths.holder)
        self._dns = Server(paths.dns, paths.router)
        self._host: Doors | None = None
        self._router: Doors | None = None

    # --- what the engine asks ---

    def host_networks(self) -> dict[IPv4Network, str]:
        """Where the host's routes lead and by which link, but for its default route and ours."""
        return uplink.host_networks(self._host_doors().routes, self._paths.uplink)

    def require_ipv6(self, network: str) -> None:
        """Raises ``NoIPv6`` where the kernel does not have it."""
        if not Path("/proc/sys/net/ipv6").exists():
            raise faults.NoIPv6(network)

    def mend(self, wiring: Wiring) -> None:
        """Make everything but the links of containers as ``wiring`` says, from whatever is
        there. Idempotent.

        Ports that somebody else has are left out, and raised (``PortTaken``) once all else
        stands. A link that is just being deleted may still look like one that is there: then it
        is looked at again. Raises ``HostInFlux`` when that goes on.
        """
        for last in (False, False, True):
            try:
                self._mend(wiring)
                return
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
                if last:
                    raise faults.HostInFlux(str(error)) from error

    def _mend(self, wiring: Wiring) -> None:
        self._paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        uplink.ensure_namespace(self._paths.router)
        host, router = self._host_doors(), self._router_doors()
        uplink.ensure_router(router, ipv6=bool(wiring.subnets6()))
        failures = self._holder.hold(claims(wiring.ports))
        served = replace(wiring, ports=_without(wiring.ports, failures))
        self._replace(router, router_table(served))
        self._open_links(host, wiring)
        # The guards stand before the uplink can carry anything.
        self._replace(host, host_table(served, self._side()))
        uplink.ensure_uplink(self._paths.uplink, host, router, ipv6=bool(wiring.subnets6()))
        host.sysctl(self._uplink_sysctls(wiring))
        uplink.settle(host.routes, host_layout(wiring, self._paths.uplink), own=self._own)
        uplink.settle(router.routes, router_layout(wiring), own=_OWN_IN_ROUTER)
        self._docker().admit()
        self._dns.serve(self._zones(wiring))
        for failure in failures.values():
            raise failure

    def change(self, before: Wiring, after: Wiring) -> None:
        """Lead from ``before``, which stands, to ``after``: one transaction per namespace, old
        UDP flows forgotten after it, DNS and reservations only if touched.

        If the kernel is not as ``before`` says, everything is mended. Raises ``PortTaken``,
        ``AddressNotHere`` and ``NameNotAllowed`` before anything changed.
        """
        renamed = zones.facts(before) != zones.facts(after)
        if renamed:
            zones.zones(after, ())  # a bad name is refused first
        families = bool(before.subnets6()) == bool(after.subnets6())
        if not (families and namespaces.exists(self._paths.router)):
            self.mend(after)
            return
        if before.ports != after.ports:
            self._reserve(before, after)
        try:
            self._rewire(before, after)
        except (RulesRefused, OSError):
            self.mend(after)
            return
        if renamed:
            self._dns.serve(self._zones(after))

    def connect(self, *wanted: Link) -> None:
        """Give a container these links, all that it shall have; idempotent."""
        links.connect(self._router_doors(), wanted)

    def disconnect(self, gone: Sequence[Link]) -> None:
        """Take containers' namespaces away, the links go with them; idempotent."""
        exists = namespaces.exists(self._paths.router)
        links.disconnect(self._router_doors() if exists else None, gone)

    def defects(
        self, wiring: Wiring, wanted: Sequence[Link]
    ) -> tuple[tuple[Defect, ...], dict[str, tuple[Defect, ...]]]:
        """What is broken, of the host and per container; reads only."""
        exists = namespaces.exists(self._paths.router)
        router = self._router_doors() if exists else None
        found = self._host_causes(wiring, router)
        by_container = links.causes(router, wanted)
        return (
            _defects(DefectKind.HOST, found),
            {name: _defects(DefectKind.LINK, causes) for name, causes in by_container.items()},
        )

    def free_port(self, port: PortSpec, promised: Sequence[range]) -> int:
        """A host port that nobody has, checked by binding."""
        return picking.pick(
            port,
            promised,
            lambda number: bool(self.holders([(port.host_ip, number, port.protocol, 1)])),
        )

    def holders(self, wanted: Sequence[Wanted]) -> dict[Wanted, str]:
        """Who but ourselves has which of the wanted ports."""
        return holders(wanted, self._holder.claims(), self._holder.pid())

    def closed_ways(self, wiring: Wiring | None, ports: Sequence[PortSpec]) -> tuple[Finding, ...]:
        """What firewalls of the host close to containers and to these published ports."""
        from runtime.embedded.firewall import look, ways

        host, uplink = self._host_doors(), self._paths.uplink
        place = ways.Place(
            uplink=uplink,
            outside=look.outside_links(host.routes, uplink),
            pool=None if wiring is None else wiring.pool.pool,
            pool6=wiring.pool.pool6 if wiring is not None and wiring.subnets6() else None,
            ports=[(port.protocol, port.container_port) for port in ports],
            asks_host=self._side().resolver is not None,
        )
        return look.closed_ways(host.nft, place)

    def tear_down(self, wiring: Wiring) -> None:
        """Leave nothing of ours: processes, namespace, links, table, rules. Idempotent."""
        host = self._host_doors()
        self._dns.stop()
        self._docker().retract()
        self._close_router()
        namespaces.remove(self._paths.router)
        with suppress(RulesRefused):
            host.nft.apply(ruleset.destroy(self._paths.table))
        for version, opened in _OPENED.items():
            forwarding.restore(
                self._forwarded(version), self._opened_by_others(host, opened), version
            )
        host.routes.request([rtnetlink.delete_link(self._paths.uplink)])
        flows.forget(host.tracking, wiring.ports)
        self._holder.release()
        durable.remove(self._fingerprints)

    def close(self) -> None:
        self._close_router()
        if self._host is not None:
            self._host.close()
            self._host = None

    # --- changing ---

    def _reserve(self, before: Wiring, after: Wiring) -> None:
        failures = self._holder.hold(claims(after.ports))
        for failure in failures.values():
            self._holder.hold(claims(before.ports))
            raise failure

    def _rewire(self, before: Wiring, after: Wiring) -> None:
        host, router = self._host_doors(), self._router_doors()
        if before.networks != after.networks:
            self._settle(after)
        old, new = router_table(before), router_table(after)
        self._write(router, old, new)
        conntrack.forget(router.tracking, _forget_targets(before, after))
        if before.ports == after.ports and before.networks == after.networks:
            return
        side = self._side()
        self._write(host, host_table(before, side), host_table(after, side))
        gone, come = set(before.ports) - set(after.ports), set(after.ports) - set(before.ports)
        flows.forget(host.tracking, sorted(gone | come, key=str))

    def _settle(self, wiring: Wiring) -> None:
        host, router = self._host_doors(), self._router_doors()
        uplink.settle(router.routes, router_layout(wiring), own=_OWN_IN_ROUTER)
        uplink.settle(host.routes, host_layout(wiring, self._paths.uplink), own=self._own)

    def _write(self, doors: Doors, old: Table, new: Table) -> None:
        if old.skeleton != new.skeleton:
            self._replace(doors, new)
        else:
            doors.nft.apply(ruleset.change(old, new))

    def _replace(self, doors: Doors, table: Table) -> None:
        """Write the whole table, and note what the kernel makes of its fixed part."""
        doors.nft.apply(ruleset.replace(table))
        listing = doors.nft.listing(table.name)
        if listing is None:
            return  # somebody has removed it again already: the next look tells
        noted = self._noted()
        noted[self._place(doors)] = [
            compare.digest(table.skeleton),
            compare.read(listing).fingerprint,
        ]
        durable.write(self._fingerprints, json.dumps(noted).encode(), sync=False)

    # --- looking ---

    def _host_causes(self, wiring: Wiring, router: Doors | None) -> list[str]:
        if router is None:
            return ["the router namespace is gone"]
        host = self._host_doors()
        side = self._side()
        found = self._uplink_causes(wiring, host, router)
        found += self._table_causes(router, router_table(wiring), "router", _names(wiring))
        found += self._table_causes(host, host_table(wiring, side), "host", _names(wiring))
        if found and not self._uplink_exists(host):
            return found
        if self._docker().missing():
            found.append("the rules that let containers through Docker's firewall are missing")
        missing = sorted(self._holder.missing(claims(wiring.ports)))
        found += [f"port {c.port}/{c.protocol} on {c.address} is not reserved" for c in missing]
        return found + self._dns.causes(self._zones(wiring))

    def _uplink_causes(self, wiring: Wiring, host: Doors, router: Doors) -> list[str]:
        if not self._uplink_exists(host):
            return [f"the link {self._paths.uplink} between host and router is gone"]
        here, there = host_layout(wiring, self._paths.uplink), router_layout(wiring)
        found = []
        for side, doors, layout, own in (
            ("host", host, here, self._own),
            ("router", router, there, _OWN_IN_ROUTER),
        ):
            addresses, _ = uplink.addresses_off(doors.routes, layout, own)
            routes, _ = uplink.routes_off(doors.routes, layout, own)
            found += [f"the {side} has no address {a} on {name}" for name, a in addresses]
            found += [f"the {side} has no {route}" for route in routes]
        for version in _versions(wiring):
            for name in forwarding.closed_links(host.routes, self._paths.uplink, version):
                found.append(f"the host does not forward on {name}")
        for name, value in self._uplink_sysctls(wiring).items():
            if Path("/proc/sys/net", name).read_text().strip() != value:
                found.append(f"the sysctl {name.replace('/', '.')} is not {value}")
        return found

    def _uplink_exists(self, host: Doors) -> bool:
        seen = {link.name: link for link in rtnetlink.links(host.routes)}.get(self._paths.uplink)
        return seen is not None and seen.up and seen.carrier

    def _table_causes(
        self, doors: Doors, table: Table, side: str, names: dict[str, str]
    ) -> list[str]:
        listing = doors.nft.listing(table.name)
        if listing is None:
            return [f"{side} table {table.name} is missing"]
        seen = compare.read(listing)
        found = compare.differences(table, seen, names)
        if self._noted().get(self._place(doors)) != [
            compare.digest(table.skeleton),
            seen.fingerprint,
        ]:
            found.append(f"the rules of {side} table {table.name} are not ours any more")
        return found

    # --- what all of these need ---

    def _forwarded(self, version: Version) -> Path:
        return self._paths.run / ("forwarding.json" if version == 4 else "forwarding6.json")

    @property
    def _fingerprints(self) -> Path:
        return self._paths.run / "rules.json"

    @property
    def _own(self) -> tuple[str, ...]:
        return (self._paths.uplink,)

    def _place(self, doors: Doors) -> str:
        return "host" if doors is self._host else "router"

    def _noted(self) -> dict[str, list[str]]:
        try:
            noted: dict[str, list[str]] = json.loads(self._fingerprints.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return noted

    def _uplink_sysctls(self, wiring: Wiring) -> dict[str, str]:
        name = self._paths.uplink
        six = forwarding.uplink_sysctls6(name) if wiring.subnets6() else {}
        return six | {
            f"ipv4/conf/{name}/route_localnet": "1",
            f"ipv4/conf/{name}/forwarding": "1",
            f"ipv4/conf/{name}/send_redirects": "0",
        }

    def _docker(self) -> DockerChain:
        paths = self._paths
        return DockerChain(self._host_doors().nft, uplink=paths.uplink, mark=paths.table)

    def _open_links(self, host: Doors, wiring: Wiring) -> None:
        """The host's links pass packets, those of IPv6 only while a network has it."""
        for version, opened in _OPENED.items():
            record, others = self._forwarded(version), self._opened_by_others(host, opened)
            if version in _versions(wiring):
                forwarding.open_links(host.routes, self._paths.uplink, record, others, version)
            elif record.exists():
                forwarding.restore(record, others, version)

    def _opened_by_others(self, host: Doors, opened: str) -> set[str]:
        """Links for which other instances turned forwarding on."""
        tables = (name for name in host.nft.tables(TABLES) if name != self._paths.table)
        return {link for table in tables for link in host.nft.first_parts(table, opened)}

    def _side(self) -> HostSide:
        resolver = next((a for a in resolvers() if IPv4Address(a).is_loopback), None)
        return HostSide(
            table=self._paths.table,
            uplink=self._paths.uplink,
            opened=forwarding.recorded(self._forwarded(4)),
            opened6=forwarding.recorded(self._forwarded(6), 6),
            resolver=resolver if not reachable_resolvers() else None,
        )

    def _zones(self, wiring: Wiring) -> dict[str, str]:
        servers = reachable_resolvers()
        if not servers and resolvers():
            servers = [str(wiring.pool.uplink_host)]
        return zones.zones(wiring, servers)

    def _host_doors(self) -> Doors:
        if self._host is None:
            self._host = Doors(None)
        return self._host

    def _router_doors(self) -> Doors:
        if self._router is not None and not self._router.current:
            self._close_router()
        if self._router is None:
            self._router = Doors(self._paths.router)
        return self._router

    def _close_router(self) -> None:
        if self._router is not None:
            self._router.close()
            self._router = None


def resolvers() -> list[str]:
    for path in (_RESOLVED, _RESOLV_CONF):
        with suppress(OSError):
            if found := zones.name_servers(path.read_text()):
                return found
    return []


def reachable_resolvers() -> list[str]:
    return [a for a in resolvers() if not IPv4Address(a).is_loopback]


def _without(ports: Sequence[PortWire], failures: dict[Claim, Fault]) -> tuple[PortWire, ...]:
    return tuple(port for port in ports if not any(claim in failures for claim in claims([port])))


def _versions(wiring: Wiring) -> tuple[Version, ...]:
    return (4, 6) if wiring.subnets6() else (4,)


def _forget_targets(before: Wiring, after: Wiring) -> list[Flows]:
    """UDP flows to generations that a service no longer leads to."""
    gone = {target for _, target in _aims(before) - _aims(after)}
    return [conntrack.replies_from(target, _UDP) for target in sorted(gone, key=str)]


def _aims(wiring: Wiring) -> set[tuple[Address | None, Address]]:
    """Service addresses, each with an address that it leads to."""
    fours = ((s.address, target) for s in wiring.services for target in s.targets)
    sixes = ((s.address6, target) for s in wiring.services for target in s.targets6)
    return {*fours, *sixes}


def _names(wiring: Wiring) -> dict[str, str]:
    fours = {str(service.address): service.name for service in wiring.services}
    return fours | {str(s.address6): s.name for s in wiring.services if s.address6}


def _defects(kind: DefectKind, causes: Sequence[str]) -> tuple[Defect, ...]:
    shown = list(causes[:_SHOWN_CAUSES])
    if more := len(causes) - len(shown):
        shown.append(f"and {more} more of the kind")
    return tuple(Defect(kind=kind, cause=cause) for cause in shown)
