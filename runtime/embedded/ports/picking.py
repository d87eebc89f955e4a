"""A free port of the host, for those who do not say which."""

import socket
from collections.abc import Callable, Sequence

from runtime.api import PortSpec
from runtime.errors import Fault


class NoneFree(Fault):
    """All ports of the host that a port may have are taken."""

    def __init__(self, port: PortSpec) -> None:
        self.port = port
        super().__init__(
            f"port {port} cannot be published",
            why=f"none of the host's ports {port.published} is free",
            hint="stop a program that has one of them, or name other ports",
        )


def pick(port: PortSpec, promised: Sequence[range], is_held: Callable[[int], bool]) -> int:
    """A number that is in none of the ``promised`` ranges and that nobody holds. Raises
    ``NoneFree``."""

    def is_free(number: int) -> bool:
        return not any(number in each for each in promised) and not is_held(number)

    if port.choices is None:
        while not is_free(number := _any(port)):
            pass
        return number
    first, last = port.choices
    number = next(filter(is_free, range(first, last + 1)), 0)
    if not number:
        raise NoneFree(port)
    return number


def _any(port: PortSpec) -> int:
    """One that the kernel gives at the moment."""
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ":" in (port.host_ip or "") else socket.AF_INET
    with socket.socket(family, kind) as trial:
        trial.bind((port.host_ip or "0.0.0.0", 0))
        number: int = trial.getsockname()[1]
    return number
