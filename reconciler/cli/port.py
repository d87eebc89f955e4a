"""``trueup port``: where the host publishes a container's ports."""

import re
import sys

from reconciler.cli.arguments import GlobalOptions, Parser, Usage
from reconciler.cli.console import opened
from runtime.api import PublishedPort
from runtime.errors import Fault


class Options(GlobalOptions):
    container: str
    port: str


class NotPublished(Fault):
    """The container publishes no such port."""

    def __init__(self, port: str, container: str) -> None:
        super().__init__(
            f"no public port `{port}` is published for {container}",
            hint=f"`trueup port {container}` lists what it publishes",
        )


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("container", metavar="CONTAINER", help="project/name, a name that is unique, or an id")
    add("port", metavar="PORT[/PROTOCOL]", nargs="?", default="", help="only this one of its ports")


def run(options: Options) -> int:
    """``80/tcp -> 0.0.0.0:8080`` per port; of one port only where it is published."""
    from reconciler.lookup import find

    if options.port and not re.fullmatch("[0-9]{1,5}(/(tcp|udp))?", options.port):
        raise Usage(f"`{options.port}` is no port", "write it like 80 or 53/udp")
    with opened(options) as runtime:
        key = find(options.container, runtime.containers()).key
        services = runtime.services()
    ports = next(
        (
            s.ports
            for s in services
            if (s.applied.project, s.applied.name) == (key.project, key.name)
        ),
        (),
    )
    lines = [each for port in sorted(ports, key=_order) for each in _lines(port)]
    if options.port:
        asked = options.port if "/" in options.port else f"{options.port}/tcp"
        told = [outside for inside, outside in lines if inside == asked]
        if not told:
            raise NotPublished(asked, str(key))
    else:
        told = [f"{inside} -> {outside}" for inside, outside in lines]
    sys.stdout.write("".join(f"{line}\n" for line in told))
    return 0


def _order(port: PublishedPort) -> tuple[int, str, str]:
    return port.spec.container_port, port.spec.protocol, port.spec.host_ip or ""


def _lines(port: PublishedPort) -> list[tuple[str, str]]:
    spec = port.spec
    host = spec.host_ip or "0.0.0.0"
    host = f"[{host}]" if ":" in host else host
    return [
        (f"{spec.container_port + n}/{spec.protocol}", f"{host}:{port.host_port + n}")
        for n in range(spec.count)
    ]
