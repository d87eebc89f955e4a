"""How far the kernel has followed the ledger: a container's spec as it was last carried out."""

import msgspec

from runtime import durable
from runtime.api import ContainerSpec, encode
from runtime.embedded.ledger import ContainerRow
from runtime.embedded.paths import Paths

_NAME = "applied.json"


def note(paths: Paths, row: ContainerRow) -> None:
    """All of the spec is carried out."""
    durable.write(paths.container(row.id) / _NAME, encode(row.spec), sync=False)


def last(paths: Paths, row: ContainerRow) -> ContainerSpec | None:
    """What was carried out last; None when that is not known."""
    try:
        text = (paths.container(row.id) / _NAME).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(text, type=ContainerSpec)


def is_behind(paths: Paths, row: ContainerRow) -> bool:
    """Whether an update of it was begun and not finished."""
    return last(paths, row) not in (None, row.spec)
