"""The world that a plan was made for, as digests: what is different tells that it has moved.

What changes by itself (pids, times, counts, the words of health checks) is left out, and what
registries have of tags that are pushed: to push twice does no harm.
"""

import hashlib
from collections.abc import Iterator, Mapping

import msgspec

from reconciler.planning.containers import called
from runtime.api import Health, Observed, ObservedContainer, ObservedImage, encode


def parts(observed: Observed) -> dict[str, str]:
    """A digest of each object that plans depend on, by its name as people say it."""
    return {name: _digest(value) for name, value in _objects(observed)}


def fingerprint(observed: Observed) -> str:
    """Of all that plans depend on."""
    return of_parts(parts(observed))


def of_parts(digests: Mapping[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(digests, order="sorted")).hexdigest()[:16]


def moved(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The objects that came, went or changed."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _objects(observed: Observed) -> Iterator[tuple[str, msgspec.Struct]]:
    kinds: Mapping[str, Mapping[str, msgspec.Struct]] = {
        "image": {name: _local(image) for name, image in observed.images.items()},
        "volume": observed.volumes,
        "network": observed.networks,
        "service": observed.services,
    }
    for kind, there in kinds.items():
        yield from ((f"{kind} {name}", each) for name, each in there.items())
    for container in observed.containers:
        yield f"container {called(container.key)}@{container.generation}", _still(container)
    yield (
        f"project {observed.project}",
        Observed(
            project=observed.project,
            spec_path=observed.spec_path,
            generations=observed.generations,
            port_holders=observed.port_holders,
            defects=observed.defects,
        ),
    )


def _local(image: ObservedImage) -> ObservedImage:
    return msgspec.structs.replace(image, pushed=(), astray={}, unheard={})


def _still(container: ObservedContainer) -> ObservedContainer:
    health = container.health
    return msgspec.structs.replace(
        container,
        pid=None,
        restarts=0,
        started_at=None,
        finished_at=None,
        created_at=0.0,
        health=Health(status=health.status) if health else None,
    )


def _digest(value: msgspec.Struct) -> str:
    return hashlib.sha256(encode(value)).hexdigest()[:16]
