"""Published ports as Docker writes them: ``0.0.0.0:8080->80/tcp``."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from runtime.api import PublishedPort


def ports(published: Iterable[PublishedPort]) -> str:
    """All of them, consecutive ones drawn together as a range, in the order of their numbers."""
    listed = sorted(published, key=_order)
    runs = [list(run) for _, run in groupby(enumerate(listed), key=_run)]
    return ", ".join(_span([port for _, port in run]) for run in runs)


def _order(port: PublishedPort) -> tuple[str, str, int, int]:
    spec = port.spec
    return (spec.protocol, spec.host_ip or "", spec.container_port, port.host_port)


def _run(numbered: tuple[int, PublishedPort]) -> tuple[str, str, int, int]:
    """Equal for neighbours whose two numbers both grow by one."""
    at, port = numbered
    return (*_order(port)[:2], port.spec.container_port - at, port.host_port - at)


def _span(run: Sequence[PublishedPort]) -> str:
    first, last = run[0], run[-1]
    outside, inside = str(first.host_port), str(first.spec.container_port)
    if len(run) > 1:
        outside, inside = f"{outside}-{last.host_port}", f"{inside}-{last.spec.container_port}"
    return f"{first.spec.host_ip or '0.0.0.0'}:{outside}->{inside}/{first.spec.protocol}"
