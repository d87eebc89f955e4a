"""Who a container is, through all its generations."""

import hashlib

import msgspec


class ContainerKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, order=True):
    """A replica of a project's container, whatever generation of it lives."""

    project: str
    name: str
    replica: int = 1

    def __str__(self) -> str:
        suffix = "" if self.replica == 1 else f".{self.replica}"
        return f"{self.project}/{self.name}{suffix}"

    def __hash__(self) -> int:
        return hash((self.project, self.name, self.replica))


def container_id(key: ContainerKey, generation: int) -> str:
    """The id (64 hex digits) of a generation: known before it exists, so that plans can name it
    and a repeated step finds its own earlier work."""
    text = f"{key.project}/{key.name}.{key.replica}@{generation}"
    return hashlib.sha256(text.encode()).hexdigest()
