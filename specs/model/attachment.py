"""`networks` of a container: a list of names, or a map of names to what holds there."""

import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator

from specs.fields import Effect, Spec, about, is_null
from specs.model.resolving import address
from specs.nodes import Map
from specs.notations import OBJECT_NAME, count, each_of, list_of, matching, scalar
from specs.refusals import refuse, wrong
from specs.scalars import Unreadable

_EXPECTED: Final = "a list of networks, or a map `{name: {aliases: [db]}}`"
_IN_PLACE: Final = Effect.IN_PLACE
_ALIAS: Final = "a name such as db"


def _of_family(version: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        found = ipaddress.ip_address(address(text))
        if found.version != version:
            raise Unreadable(f"an IPv{version} address", reason=f"is IPv{found.version}")
        return str(found)

    return read


_STRING: Final = {"type": "string"}
_Address4 = Annotated[str, *scalar(_of_family(4), "an IPv4 address", _STRING)]
_Address6 = Annotated[str, *scalar(_of_family(6), "an IPv6 address", _STRING)]
_Priority = Annotated[int, *count(-(1 << 31), (1 << 31) - 1)]


class Attachment(Spec):
    """A container's place in one network."""

    noun: ClassVar[str] = "a container's network"
    not_yet: ClassVar[frozenset[str]] = frozenset(
        {"driver_opts", "interface_name", "link_local_ips", "mac_address"}
    )

    aliases: Annotated[tuple[str, ...], *list_of(matching(OBJECT_NAME, _ALIAS), _ALIAS)] = about(
        "Further names in this network.", _IN_PLACE, default=()
    )
    ipv4_address: _Address4 | None = about(
        "Fixed address; the network needs a `subnet`.", _IN_PLACE, default=None
    )
    ipv6_address: _Address6 | None = about(
        "Fixed IPv6 address; the network needs a `subnet`.", _IN_PLACE, default=None
    )
    gw_priority: _Priority = about(
        "The network with the highest has the default route.", _IN_PLACE, default=0
    )
    priority: _Priority = about(
        "Interfaces are numbered from the highest on, then by name.", _IN_PLACE, default=0
    )


def _read_all(value: object) -> Any:
    if isinstance(value, (Map, dict)):
        return value
    return dict.fromkeys(each_of(value, _EXPECTED, _read_name), Attachment())


def _read_name(item: object) -> str:
    if not isinstance(item, str) or is_null(item):
        refuse([wrong(item, "the name of a network")])
    return str(item)


Attachments = Annotated[dict[str, Attachment], BeforeValidator(_read_all)]
