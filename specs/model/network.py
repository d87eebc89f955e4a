"""The project's network."""

import ipaddress
from typing import Annotated, ClassVar, Final

from specs.fields import Spec, about
from specs.notations import scalar
from specs.scalars import Unreadable

DEFAULT: Final = "default"
_EXPECTED: Final = "an IPv4 network such as 10.90.0.0/24"


def _subnet(text: str) -> str:
    """The canonical network; room for a gateway and some containers, no host bits."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        reason = "has host bits set" if "host bits" in str(error) else "is not a network"
        raise Unreadable(_EXPECTED, reason=reason, nearest=_masked(text)) from None
    if network.version == 6:
        raise Unreadable(_EXPECTED, reason="is IPv6, which is not carried out yet")
    if not 8 <= network.prefixlen <= 29:
        raise Unreadable("a prefix length from 8 to 29", reason="has a size that is of no use")
    return str(network)


def _masked(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return ""


class Network(Spec):
    """A network that the project's containers share."""

    noun: ClassVar[str] = "a network"
    not_yet: ClassVar[frozenset[str]] = frozenset(
        {
            "attachable", "driver", "driver_opts", "enable_ipv4", "enable_ipv6", "external",
            "internal", "ipam", "labels", "name",
        }
    )  # fmt: skip

    subnet: Annotated[str, *scalar(_subnet, _EXPECTED, {"type": "string"})] | None = about(
        "IPv4 network that addresses are taken from; None: the engine chooses one.", default=None
    )
