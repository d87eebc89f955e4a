"""Where an image is asked for: the mirrors of its registry in their order, then the registry.

What comes by digest is checked, so a mirror can give nothing false; by tag it may give something
older. It gets no login but its own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
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
from runtime.embedded.registry.session import TRIES
from runtime.embedded.registry.transport import Pace
from runtime.reference import Reference

Result = TypeVar("Result")

_TRIES_OF_MIRRORS = 2
_NOT_FROM_HERE = (
    AccessDenied,
    BadDocument,  # a page of a gateway, with status 200
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
) -> Result:
    """What the first endpoint says that has it; what the registry itself says is final."""
    *mirrors, last = endpoints(reference, registries)
    for each in mirrors:
        try:
            few = min(tries, _TRIES_OF_MIRRORS)
            with closing(Client(each.access, tries=few, pace=pace)) as client:
                return ask(client, each.reference)
        except _NOT_FROM_HERE:
            continue
    with closing(Client(last.access, tries=tries, pace=pace)) as client:
        return ask(client, last.reference)
