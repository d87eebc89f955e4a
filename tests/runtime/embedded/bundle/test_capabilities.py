"""Capabilities by Docker's rules."""

import pytest

from runtime.embedded.bundle.capabilities import (
    DEFAULT,
    KNOWN,
    CapabilityUnavailable,
    UnknownCapability,
    from_mask,
    resolve,
)

ALL = frozenset(KNOWN)

CASES = {
    "the defaults are fourteen": ((), (), 14),
    "one more": (("NET_ADMIN",), (), 15),
    "written with CAP_ and in small letters": (("cap_net_admin",), (), 15),
    "a default again": (("CHOWN",), (), 14),
    "one less": ((), ("CHOWN",), 13),
    "none": ((), ("ALL",), 0),
    "only what is named": (("CHOWN", "KILL"), ("ALL",), 2),
    "everything": (("ALL",), (), len(KNOWN)),
    "everything but one": (("ALL",), ("SYS_ADMIN",), len(KNOWN) - 1),
}


@pytest.mark.parametrize(("add", "drop", "count"), CASES.values(), ids=CASES)
def test_count(add: tuple[str, ...], drop: tuple[str, ...], count: int) -> None:
    assert len(resolve(add, drop, ALL)) == count


def test_names_and_order_are_the_kernels() -> None:
    assert resolve(("NET_ADMIN", "CHOWN"), ("ALL",), ALL) == ("CAP_CHOWN", "CAP_NET_ADMIN")


def test_what_we_lack_is_left_out_of_the_defaults_and_refused_by_name() -> None:
    without = ALL - {"MKNOD", "SYS_RESOURCE"}
    assert len(resolve((), (), without)) == 13
    assert "CAP_SYS_RESOURCE" not in resolve(("ALL",), (), without)
    with pytest.raises(CapabilityUnavailable, match="SYS_RESOURCE"):
        resolve(("SYS_RESOURCE",), (), without)


def test_unknown_names() -> None:
    with pytest.raises(UnknownCapability, match="NET_ADMINN"):
        resolve(("NET_ADMINN",), (), ALL)


def test_mask() -> None:
    assert from_mask(0b1000_0000_0001) == {"CHOWN", "NET_BROADCAST"}
    assert from_mask(0x1FFFFFFFFFF) == ALL
    assert DEFAULT <= ALL
