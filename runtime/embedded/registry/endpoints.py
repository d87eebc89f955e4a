"""Where an image is asked for: the mirrors of its registry in their order, then the registry. For
a list it is the other way round.

What comes by digest is checked, so a mirror can give nothing false; by tag it may give something
older. It gets no login but its own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from runtime.api import RegistryAccess
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.registry.faults import (
    AccessDenied,
    NotInRegistry,
    PasswordWithheld,
    RegistryFailed,
    RegistryUnreachable,
    WrongContent,
)
from runtime.embedded.registry.manifest import NoPlatform
from runtime.embedded.registry.session import TRIES
from runtime.embedded.registry.stop import Stop
from runtime.embedded.registry.transport import Pace
from runtime.reference import Reference

Result = TypeVar("Result")

_TRIES_OF_MIRRORS = 2  # and of what has mirrors that may stand in for it
_NOT_FROM_HERE = (
    AccessDenied,
    BadDocument,  # a page of a gateway, with status 200
    NoPlatform,  # some keep what their own machines are made for
    NotInRegistry,
    PasswordWithheld,
    RegistryFailed,
    RegistryUnreachable,
    WrongContent,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What to ask for, and how to reach whom."""

    reference: Reference
    access: RegistryAccess


def access_to(host: str, registries: Sequence[RegistryAccess]) -> RegistryAccess:
    """How to reach a registry; by the rules for everybody where nothing is said of it."""
    known = {each.host: each for each in registries}
    return known.get(host) or RegistryAccess(host=host)


def endpoints(reference: Reference, registries: Sequence[RegistryAccess]) -> Iterator[Endpoint]:
    """The mirrors, then the registry itself."""
    own = access_to(reference.host, registries)
    for mirror in own.mirrors:
        host, _, prefix = mirror.partition("/")
        repository = f"{prefix}/{reference.repository}" if prefix else reference.repository
        there = msgspec.structs.replace(reference, host=host, repository=repository)
        yield Endpoint(reference=there, access=access_to(host, registries))
    yield Endpoint(reference=reference, access=own)


def first_answer(
    reference: Reference,
    registries: Sequence[RegistryAccess],
    ask: Callable[[Client, Reference], Result],
    *,
    tries: int = TRIES,
    pace: Pace | None = None,
    stop: Stop | None = None,
) -> Result:
    """What the first endpoint says that has it; what the registry itself says is final."""
    *mirrors, last = endpoints(reference, registries)
    few = min(tries, _TRIES_OF_MIRRORS)
    for each in mirrors:
        with suppress(*_NOT_FROM_HERE):
            return _answer(each, ask, few, pace, stop)
    return _answer(last, ask, tries, pace, stop)


def own_answer(
    reference: Reference,
    registries: Sequence[RegistryAccess],
    ask: Callable[[Client, Reference], Result],
) -> Result:
    """What the registry itself says; where it gives no answer, what the first mirror says that
    does. For lists, of which a mirror has what passed through it."""
    *mirrors, own = endpoints(reference, registries)
    try:
        return _answer(own, ask, _TRIES_OF_MIRRORS if mirrors else TRIES)
    except _NOT_FROM_HERE:
        for each in mirrors:
            with suppress(*_NOT_FROM_HERE):
                return _answer(each, ask, _TRIES_OF_MIRRORS)
        raise


def _answer(
    endpoint: Endpoint,
    ask: Callable[[Client, Reference], Result],
    tries: int,
    pace: Pace | None = None,
    stop: Stop | None = None,
) -> Result:
    with closing(Client(endpoint.access, tries=tries, pace=pace, stop=stop)) as client:
        return ask(client, endpoint.reference)
