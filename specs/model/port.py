"""Published ports: `80`, `8080:80`, `IP:8080:80`, `IP::80`, ranges, `/udp`; Compose's forms."""

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, NoReturn, TypeVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from specs.fields import Effect, Spec, about, is_null
from specs.nodes import Map, Text
from specs.notations import choice, each_of
from specs.problems import nearest_word
from specs.refusals import not_yet, refuse, refuse_if_any, unknown_word, wrong
from specs.scalars import Unreadable, parse_port_range

MOST_CHOSEN: Final = 256  # ports of one item that each get a free port of the host
MOST_SHIFTED: Final = 1000  # of a range with other numbers: each is an element of a map
FORMS: Final = "`8080:80`, `127.0.0.1:8080:80`, `127.0.0.1::80`, `80`, with `/udp` if it is UDP"
_LONG_KEYS: Final = (
    "target", "published", "host_ip", "protocol", "mode", "name", "app_protocol"
)  # fmt: skip
_MODES: Final = ("host", "ingress")  # without a cluster both mean the same
_SpanEnd = Annotated[int, Field(ge=1, le=65_535)]


class Protocol(StrEnum):
    """What is published; other protocols have no ports or no translation."""

    TCP = "tcp"
    UDP = "udp"


class Port(Spec):
    """One published port, or `count` adjacent ones; `host_ip` None: every address; `host_port`
    None: a free one is chosen, among `choices` (the first and the last) if there are any."""

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
    count: Annotated[int, Field(ge=1, le=65_535)] = about(
        "How many adjacent ports.", Effect.IN_PLACE, default=1
    )
    choices: tuple[_SpanEnd, _SpanEnd] | None = about(
        "First and last of the host's ports of which a free one is chosen.",
        Effect.IN_PLACE,
        default=None,
    )


Use = TypeVar("Use")


def clashes(uses: Iterable[tuple[Port, Use]]) -> Iterator[tuple[str, Use, Use]]:
    """Each port of the host that is asked for twice, as in `80/tcp`, with both of its uses.

    Of the ranges that a port can meet only the longest on each address counts: whoever meets
    another one meets that, too.
    """
    longest: dict[tuple[str, str], tuple[int, int, Use]] = {}  # -> last port, place, use
    for first, at, port, use in _in_order(uses):
        protocol, address = port.protocol.value, port.host_ip or ""
        last = first + port.count - 1
        others = [longest[key] for key in _meeting(protocol, address, longest)]
        met = next((each for each in others if each[0] >= first), None)
        if met is not None:
            pair = (met[2], use) if met[1] < at else (use, met[2])
            yield f"{first}/{protocol}", *pair
        if longest.get((protocol, address), (0,))[0] < last:
            longest[protocol, address] = last, at, use


def _in_order(uses: Iterable[tuple[Port, Use]]) -> list[tuple[int, int, Port, Use]]:
    """Those with a port of the host, by that: (port, place, port, use)."""
    given = (
        (port.host_port, at, port, use)
        for at, (port, use) in enumerate(uses)
        if port.host_port is not None
    )
    return sorted(given, key=lambda each: each[:2])


def _meeting(
    protocol: str, address: str, known: Collection[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The keys of addresses that `address` has something in common with; "" is every one."""
    if address in ("", "0.0.0.0", "::"):
        return [key for key in known if key[0] == protocol and _meet(key[1], address)]
    every = "::" if ":" in address else "0.0.0.0"
    return [key for each in (address, "", every) if (key := (protocol, each)) in known]


def _meet(one: str, every: str) -> bool:
    return "" in (one, every) or (":" in one) == (":" in every)


def read_ports(item: str | dict[str, Any] | Port) -> tuple[Port, ...]:
    """The ports that one item of `ports:` publishes: several for a range without host ports."""
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
    """The long form: target, published, host_ip, protocol; what else Compose has is without
    effect on one host."""
    _check_keys(item)
    scalars = {k: v for k, v in item.items() if isinstance(v, Text) and not v.null}
    refuse_if_any(
        [wrong(item[k], "a number or text") for k in _LONG_KEYS if _is_nested(item.get(k))]
    )
    if "target" not in scalars:
        refuse([wrong(item, "a `target`, the container's port", reason="has no `target`")])
    _check_mode(scalars.get("mode"))
    texts = {k: str(v) for k, v in scalars.items()}
    address = texts.get("host_ip", "").removeprefix("[").removesuffix("]")
    for key, read in (("published", _range), ("host_ip", _address), ("protocol", _protocol)):
        if texts.get(key):  # each is refused where it stands, not where `target` does
            read(scalars[key], address if key == "host_ip" else texts[key])
    return _ports(
        scalars["target"],
        address,
        texts.get("published", ""),
        texts["target"],
        texts.get("protocol", "tcp"),
    )


def _is_nested(value: object) -> bool:
    return isinstance(value, (dict, list))


def _check_keys(item: dict[str, Any]) -> None:
    if not isinstance(item, Map):
        return
    unknown = [key for key in item.keys_at.values() if key not in _LONG_KEYS]
    refuse_if_any(
        [
            unknown_word(key, _LONG_KEYS, "a port")
            for key in unknown
            if not (is_null(item[key]) or key.startswith("x-"))
        ]
    )


def _check_mode(mode: Text | None) -> None:
    if mode is None or mode in _MODES:
        return
    problem = wrong(mode, "one of " + ", ".join(_MODES), reason="is not a mode")
    refuse([replace(problem, nearest=nearest_word(str(mode), _MODES))])


def _ports(item: str, host_ip: str, host: str, container: str, protocol: str) -> tuple[Port, ...]:
    address = _address(item, host_ip)
    inside = _range(item, container)
    kind = _protocol(item, protocol)
    if not host:
        return _chosen(item, address, inside, kind)
    outside = _range(item, host)
    if len(inside) == 1 < len(outside):
        ends = (outside[0], outside[-1])
        return (Port(host_ip=address, container_port=inside[0], protocol=kind, choices=ends),)
    if len(outside) != len(inside):
        _refuse(
            item,
            f"has {len(outside)} ports on the host and {len(inside)} in the container",
            "two ranges of the same length",
        )
    if outside != inside and len(inside) > MOST_SHIFTED:
        _refuse_shifted(item, inside)
    return (
        Port(
            host_ip=address,
            host_port=outside[0],
            container_port=inside[0],
            protocol=kind,
            count=len(inside),
        ),
    )


def _chosen(item: str, address: str | None, inside: range, kind: Protocol) -> tuple[Port, ...]:
    """A free port of the host for each."""
    if len(inside) > MOST_CHOSEN:
        _refuse(
            item,
            f"asks for {len(inside)} free ports of the host",
            f"at most {MOST_CHOSEN}",
            f"for the same numbers on the host write `{_span(inside)}:{_span(inside)}`",
        )
    return tuple(Port(host_ip=address, container_port=port, protocol=kind) for port in inside)


def _refuse_shifted(item: str, inside: range) -> NoReturn:
    _refuse(
        item,
        f"leads {len(inside)} ports to other numbers",
        f"at most {MOST_SHIFTED}, or a range with the same numbers on both sides",
        f"`{_span(inside)}:{_span(inside)}` can be of any length",
    )


def _span(ports: range) -> str:
    return f"{ports[0]}-{ports[-1]}"


def _range(item: str, text: str) -> range:
    try:
        first, last = parse_port_range(text)
    except Unreadable as error:
        _refuse(item, error.reason or "is not a port", error.expected)
    return range(first, last + 1)


def _address(item: str, text: str) -> str | None:
    """The canonical address; 0.0.0.0 and :: stay, as each is all of one family only."""
    if not text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        _refuse(item, "does not begin with an address of this host")
    if address.version == 6 and address.is_loopback:
        _refuse(
            item,
            "publishes on ::1, which the kernel does not translate",
            "127.0.0.1, or an IPv6 address that others can reach",
        )
    if address.version == 6 and (address.ipv4_mapped or "%" in text):
        _refuse(item, "does not begin with a plain address of this host")
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
                    "mode": {"enum": list(_MODES)},
                    "name": {"type": "string"},
                    "app_protocol": {"type": "string"},
                },
                "patternProperties": {"^x-": {}},
                "required": ["target"],
                "additionalProperties": False,
            },
        ]
    },
}

Ports = Annotated[tuple[Port, ...], BeforeValidator(_read_all), WithJsonSchema(dict(_SCHEMA))]
