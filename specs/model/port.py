"""Published ports: `80`, `8080:80`, `IP:8080:80`, `IP::80`, ranges, `/udp`; Compose's forms."""

import ipaddress
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, NoReturn

from pydantic import BeforeValidator, Field, WithJsonSchema

from specs.fields import Effect, Spec, about, is_null
from specs.nodes import Map, Text
from specs.notations import choice, each_of
from specs.problems import Problem
from specs.refusals import not_yet, refuse, refuse_if_any, unknown_word, wrong
from specs.scalars import Unreadable, parse_port_range

LONGEST_RANGE: Final = 256  # longer ones need intervals in the maps, and are not reserved
FORMS: Final = "`8080:80`, `127.0.0.1:8080:80`, `127.0.0.1::80`, `80`, with `/udp` if it is UDP"
_LONG_KEYS: Final = ("target", "published", "host_ip", "protocol")
_LONG_NOT_YET: Final = {"mode", "name", "app_protocol"}


class Protocol(StrEnum):
    """What is published; other protocols have no ports or no translation."""

    TCP = "tcp"
    UDP = "udp"


class Port(Spec):
    """One published port; `host_port` None: a free one is chosen, `host_ip` None: every address."""

    noun: ClassVar[str] = "a port"

    host_ip: str | None = about("The host's address.", Effect.IN_PLACE, default=None)
    host_port: Annotated[int, Field(ge=1, le=65_535)] | None = about(
        "The host's port.", Effect.IN_PLACE, default=None
    )
    container_port: Annotated[int, Field(ge=1, le=65_535)] = about(
        "The container's port.", Effect.IN_PLACE
    )
    protocol: Annotated[Protocol, *choice(Protocol, "a protocol")] = about(
        "tcp or udp.", Effect.IN_PLACE, default=Protocol.TCP
    )


def read_ports(item: str | dict[str, Any] | Port) -> tuple[Port, ...]:
    """The ports that one item of `ports:` publishes: several for a range."""
    if isinstance(item, dict):
        return _from_map(item)
    return (item,) if isinstance(item, Port) else _from_text(item)


def _from_text(item: str) -> tuple[Port, ...]:
    text, slash, protocol = item.partition("/")
    host_ip, host, container = _split(item, text)
    if not container:
        _refuse(item, "names no port of the container")
    return _ports(item, host_ip, host, container, protocol if slash else "tcp")


def _split(item: str, text: str) -> tuple[str, str, str]:
    """(address, host part, container part); an IPv6 address stands in brackets."""
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        host, _, container = rest.removeprefix(":").rpartition(":")
        return address, host, container
    parts = text.split(":")
    if len(parts) > 3:
        _refuse(item, "has too many colons")
    if len(parts) == 2 and parts[0].count(".") == 3:
        _refuse(
            item,
            "names an address without a port",
            hint=f"for a free port write `{parts[0]}::{parts[1]}`",
        )
    address, host, container = ["", *["" for _ in range(2 - len(parts))], *parts][-3:]
    if len(parts) == 2 and not host:
        _refuse(item, "begins with a colon", hint=f"for a free port write `{container}`")
    return address, host, container


def _from_map(item: dict[str, Any]) -> tuple[Port, ...]:
    """The long form: target, published, host_ip, protocol."""
    _check_keys(item)
    scalars = {k: v for k, v in item.items() if isinstance(v, Text) and not v.null}
    refuse_if_any(
        [wrong(v, "a number or text") for v in item.values() if isinstance(v, (dict, list))]
    )
    if "target" not in scalars:
        refuse([wrong(item, "a `target`, the container's port", reason="has no `target`")])
    texts = {k: str(v) for k, v in scalars.items()}
    host = texts.get("published", "")
    return _ports(
        scalars["target"],
        texts.get("host_ip", ""),
        host,
        texts["target"],
        texts.get("protocol", "tcp"),
    )


def _check_keys(item: dict[str, Any]) -> None:
    if not isinstance(item, Map):
        return
    unknown = [key for key in item.keys_at.values() if key not in _LONG_KEYS]
    refuse_if_any([_unknown(key) for key in unknown if not is_null(item[key])])


def _unknown(key: Text) -> Problem:
    if key in _LONG_NOT_YET:
        return not_yet(key, f"a port's `{key}`")
    return unknown_word(key, _LONG_KEYS, "a port")


def _ports(item: str, host_ip: str, host: str, container: str, protocol: str) -> tuple[Port, ...]:
    address = _address(item, host_ip)
    inside = _range(item, container)
    outside = _range(item, host) if host else [None] * len(inside)
    if len(outside) != len(inside):
        _refuse_lengths(item, len(outside), len(inside))
    kind = _protocol(item, protocol)
    return tuple(
        Port(host_ip=address, host_port=out, container_port=into, protocol=kind)
        for out, into in zip(outside, inside, strict=True)
    )


def _range(item: str, text: str) -> list[int] | list[int | None]:
    try:
        first, last = parse_port_range(text)
    except Unreadable as error:
        _refuse(item, error.reason or "is not a port", error.expected)
    if last - first >= LONGEST_RANGE:
        refuse([not_yet(item, f"a range of more than {LONGEST_RANGE} ports")])
    return list(range(first, last + 1))


def _refuse_lengths(item: str, outside: int, inside: int) -> NoReturn:
    if inside == 1:
        refuse([not_yet(item, "a range of host ports for one port of the container")])
    _refuse(
        item,
        f"has {outside} ports on the host and {inside} in the container",
        "two ranges of the same length",
    )


def _address(item: str, text: str) -> str | None:
    """The canonical IPv4 address; 0.0.0.0 stays, as it is what the user wrote."""
    if not text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        _refuse(item, "does not begin with an address of this host")
    if address.version == 6:
        refuse([not_yet(item, "publishing on an IPv6 address")])
    return str(address)


def _protocol(item: str, word: str) -> Protocol:
    if word.lower() in ("tcp", "udp"):
        return Protocol(word.lower())
    if word.lower() == "sctp":
        refuse([not_yet(item, "publishing SCTP")])
    return _refuse(item, "has an unknown protocol", "/tcp or /udp")


def _refuse(item: str, reason: str, expected: str = FORMS, hint: str = "") -> NoReturn:
    # The hint repeats parts of the value, which a variable's value must not.
    shows = not (isinstance(item, Text) and (item.foreign or item.unset))
    refuse([wrong(item, expected, reason=reason, hint=hint if shows else "")])


def _read_all(value: object) -> Any:
    found = each_of(value, 'a list of ports such as `["8080:80"]`', read_ports)
    return tuple(
        port for ports in found for port in (ports if isinstance(ports, tuple) else (ports,))
    )


_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 65_535},
            {
                "type": "string",
                "examples": ["8080:80", "127.0.0.1:8080:80/udp", "9000-9010:9000-9010"],
            },
            {
                "type": "object",
                "properties": {
                    "target": {"type": ["integer", "string"]},
                    "published": {"type": ["integer", "string"]},
                    "host_ip": {"type": "string"},
                    "protocol": {"enum": ["tcp", "udp"]},
                },
                "patternProperties": {"^x-": {}},
                "required": ["target"],
                "additionalProperties": False,
            },
        ]
    },
}

Ports = Annotated[tuple[Port, ...], BeforeValidator(_read_all), WithJsonSchema(dict(_SCHEMA))]
