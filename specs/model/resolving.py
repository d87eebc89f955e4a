"""How a container finds others by name: `extra_hosts`, `dns`, `links`, `expose`."""

import ipaddress
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.model.pairs import PAIRS_SCHEMA
from specs.nodes import List, Map, Text
from specs.notations import OBJECT_NAME, each_of, hostname, list_of, matching, read_text
from specs.refusals import refuse, wrong
from specs.scalars import Unreadable, parse_port_range

HOST_GATEWAY: Final = "host-gateway"
_HOSTS: Final = 'a list such as `["db:10.0.0.5"]`, or a map `{db: 10.0.0.5}`'
_LINK: Final = "`NAME` or `NAME:ALIAS`"
_DOMAIN: Final = "a domain such as lab.example"
_OPTION: Final = "an option of resolv.conf(5) such as ndots:1"
_EXPOSED: Final = "a port such as 80, 3000-3005 or 53/udp"


def address(text: str) -> str:
    """An address of either family in its canonical form."""
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise Unreadable("an address such as 10.0.0.5 or fd00::5") from None


def _host_address(text: str) -> str:
    """An address, or the word for the host's own as containers reach it."""
    if text == HOST_GATEWAY:
        return text
    try:
        return address(text)
    except Unreadable as error:
        raise Unreadable(f"{error.expected}, or {HOST_GATEWAY}") from None


def _read_hosts(value: object) -> Any:
    if isinstance(value, Map):
        return tuple(pair for name in value for pair in _of_name(value, name))
    return each_of(value, _HOSTS, _host)


def _of_name(value: Map, name: str) -> list[tuple[str, str]]:
    found = value[name]
    read_text(value.keys_at[name], _any_name)
    items = found if isinstance(found, List) else [found]
    if not all(isinstance(item, Text) for item in items):
        refuse([wrong(found, "an address, or a list of addresses")])
    return [(str(name), read_text(item, _host_address)) for item in items]


def _host(item: object) -> Any:
    if not isinstance(item, str):
        refuse([wrong(item, _HOSTS)])
    return read_text(item, _host_pair)


def _host_pair(text: str) -> tuple[str, str]:
    """`name=address`, or `name:address`, whose address may have colons of its own."""
    name, sign, rest = text.partition("=" if "=" in text else ":")
    if not sign:
        raise Unreadable("`NAME:ADDRESS`")
    return _any_name(name), _host_address(rest)


def _any_name(text: str) -> str:
    """A name for /etc/hosts; underscores are no rarity there."""
    try:
        hostname(text.replace("_", "-").strip("-"))
    except Unreadable:
        raise Unreadable("the name of a host before the address") from None
    return text


def _link(text: str) -> tuple[str, str]:
    """A container and the further name that it has."""
    name, colon, alias = text.partition(":")
    read = matching(OBJECT_NAME, _LINK)
    return read(name), read(alias) if colon else read(name)


def _domain(text: str) -> str:
    """A domain; `.` and nothing at all mean that none is searched."""
    if text in ("", "."):
        return "."
    try:
        return _any_name(text)
    except Unreadable:
        raise Unreadable(_DOMAIN) from None


def _exposed(text: str) -> str:
    """`80/tcp`, `3000-3005/udp`."""
    ports, slash, protocol = text.partition("/")
    first, last = parse_port_range(ports)
    if slash and protocol.lower() not in ("tcp", "udp", "sctp"):
        raise Unreadable(_EXPOSED, reason="has an unknown protocol")
    shown = str(first) if first == last else f"{first}-{last}"
    return f"{shown}/{protocol.lower() or 'tcp'}"


ExtraHosts = Annotated[
    tuple[tuple[str, str], ...], BeforeValidator(_read_hosts), WithJsonSchema(PAIRS_SCHEMA)
]
Servers = Annotated[tuple[str, ...], *list_of(address, "an address such as 1.1.1.1", alone=True)]
Domains = Annotated[tuple[str, ...], *list_of(_domain, _DOMAIN, alone=True)]
ResolverOptions = Annotated[
    tuple[str, ...], *list_of(matching(r"[a-z0-9-]+(:\d+)?", _OPTION), _OPTION)
]
Links = Annotated[tuple[tuple[str, str], ...], *list_of(_link, _LINK)]
Exposed = Annotated[tuple[str, ...], *list_of(_exposed, _EXPOSED)]
