"""Networks: one that the project's containers share by default, and others by name."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Self

from pydantic import model_validator

from specs.fields import Spec, about
from specs.model.ownership import External, check_external
from specs.model.pairs import Labels
from specs.notations import Filled, Flag, Ignored, list_of, scalar
from specs.problems import nearest_word
from specs.scalars import Unreadable

DEFAULT: Final = "default"
_EXPECTED: Final = "an IPv4 network such as 10.90.0.0/24"
_DRIVERS: Final = ("bridge", "default")
_DRIVERS_NOT_YET: Final = ("host", "ipvlan", "macvlan", "none", "null", "overlay")


def _subnet(text: str) -> str:
    """The canonical network; room for a gateway and some containers, no host bits."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        reason = "has host bits set" if "host bits" in str(error) else "is not a network"
        raise Unreadable(_EXPECTED, reason=reason, nearest=_masked(text)) from None
    shortest, longest = (8, 29) if network.version == 4 else (8, 120)
    if not shortest <= network.prefixlen <= longest:
        expected = f"a prefix length from {shortest} to {longest}"
        raise Unreadable(expected, reason="has a size that is of no use")
    return str(network)


def _masked(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return ""


def version_of(subnet: str) -> int:
    """4 or 6."""
    return ipaddress.ip_network(subnet).version


def _driver(text: str) -> str:
    if text in _DRIVERS:
        return "bridge"
    known = text in _DRIVERS_NOT_YET
    reason = "is a driver that is not carried out yet" if known else "is not a network driver"
    raise Unreadable("bridge or default", reason=reason, nearest=nearest_word(text, _DRIVERS))


class Pool(Spec):
    """Where the addresses of a network come from, as Compose writes it."""

    noun: ClassVar[str] = "`config` of `ipam`"
    not_yet: ClassVar[frozenset[str]] = frozenset({"aux_addresses", "ip_range"})

    subnet: Annotated[str, *scalar(_subnet, _EXPECTED, {"type": "string"})] | None = about(
        "IPv4 or IPv6 network.", default=None
    )
    gateway: Filled | None = about("The router's address: the first of the subnet.", default=None)

    @model_validator(mode="after")
    def _check_gateway(self) -> Self:
        if self.gateway is None:
            return self
        if self.subnet is None:
            raise ValueError("takes a `gateway` only together with its `subnet`")
        first = ipaddress.ip_network(self.subnet)[1]
        if self.gateway != str(first):
            raise ValueError(f"takes only the subnet's first address, {first}, as its `gateway`")
        return self


class Ipam(Spec):
    """How addresses are given out, as Compose writes it."""

    noun: ClassVar[str] = "`ipam`"
    not_yet: ClassVar[frozenset[str]] = frozenset({"options"})

    driver: Annotated[str, *scalar(_driver, "default", {"type": "string"})] = about(
        "Only `default`.", default="bridge"
    )
    config: tuple[Pool, ...] = about("The subnets.", default=())


_Subnets = Annotated[
    tuple[str, ...], *list_of(_subnet, "a network such as 10.90.0.0/24", alone=True)
]


class Network(Spec):
    """A network that containers share."""

    noun: ClassVar[str] = "a network"
    not_yet: ClassVar[frozenset[str]] = frozenset({"enable_ipv4"})
    renamed: ClassVar[Mapping[str, str]] = {"ipv6": "enable_ipv6", "subnets": "subnet"}

    subnet: _Subnets = about(
        "Network that addresses are taken from, one of each family at most; none: the engine "
        "chooses.",
        default=(),
    )
    ipam: Ipam | None = about("The subnets, as Compose writes them.", default=None)
    internal: Flag = about("Whether nothing leads out of it.", default=False)
    enable_ipv6: Flag = about("Whether its containers have IPv6 addresses, too.", default=False)
    external: External = about(
        "Whether it belongs to another project; `true`, or `{name: …}`.", default=None
    )
    name: Filled | None = about(
        "What other projects call it; default: `PROJECT_NAME`.", default=None
    )
    labels: Labels = about("Labels for people and tools.", default_factory=dict)
    driver: Annotated[str, *scalar(_driver, "bridge", {"type": "string"})] = about(
        "Only `bridge` and `default`, which both mean the engine's own.", default="bridge"
    )
    driver_opts: Ignored = about("Without effect.", default=False)
    attachable: Ignored = about("Without effect.", default=False)

    @model_validator(mode="after")
    def _check_subnets(self) -> Self:
        versions = [version_of(each) for each in self.subnets]
        if len(set(versions)) != len(versions):
            raise ValueError("takes one subnet of each family at most")
        check_external(self)
        return self

    @property
    def subnets(self) -> tuple[str, ...]:
        """All that are declared, whatever the spelling."""
        pools = self.ipam.config if self.ipam else ()
        return (*self.subnet, *(each.subnet for each in pools if each.subnet))

    def subnet_of(self, version: int) -> str | None:
        """The subnet of one family."""
        return next((each for each in self.subnets if version_of(each) == version), None)
