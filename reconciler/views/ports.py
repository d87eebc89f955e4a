"""Published ports as Docker writes them: ``0.0.0.0:8080->80/tcp``."""

from collections.abc import Iterable

from runtime.api import PublishedPort, span


def ports(published: Iterable[PublishedPort]) -> str:
    """All of them, consecutive ones drawn together as a range, in the order of their numbers."""
    runs: list[tuple[PublishedPort, int]] = []  # the first of a run, and how many they are
    for port in sorted(published, key=_order):
        if runs and _continues(*runs[-1], port):
            first, count = runs[-1]
            runs[-1] = first, count + port.spec.count
        else:
            runs.append((port, port.spec.count))
    return ", ".join(_span(first, count) for first, count in runs)


def _order(port: PublishedPort) -> tuple[str, str, int, int]:
    spec = port.spec
    return (spec.protocol, spec.host_ip or "", spec.container_port, port.host_port)


def _continues(first: PublishedPort, count: int, port: PublishedPort) -> bool:
    """Whether the port is the next one on both sides."""
    places = [(each.spec.protocol, each.spec.host_ip) for each in (first, port)]
    return (
        places[0] == places[1]
        and port.spec.container_port == first.spec.container_port + count
        and port.host_port == first.host_port + count
    )


def _span(first: PublishedPort, count: int) -> str:
    spec = first.spec
    outside, inside = span(first.host_port, count), span(spec.container_port, count)
    return f"{host(spec.host_ip)}:{outside}->{inside}/{spec.protocol}"


def host(host_ip: str | None) -> str:
    """The host's address of a port, IPv6 ones in brackets."""
    address = host_ip or "0.0.0.0"
    return f"[{address}]" if ":" in address else address
