"""What the names in a container's spec mean: others of the project, and images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from specs.model.container import Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """``images`` leads from the names of a spec to those that all projects use."""

    images: Mapping[str, str]
    containers: Mapping[str, "Container"]

    def container(self, name: str) -> str:
        """The container that is meant by its key, or by its `container_name`."""
        if name in self.containers:
            return str(name)
        named = (key for key, each in self.containers.items() if each.container_name == name)
        return str(next(named, name))

    def mode(self, mode: str) -> str:
        """``container:NAME`` as ``service:KEY``, other modes as they are."""
        prefix, _, name = str(mode).partition(":")
        return f"service:{self.container(name)}" if prefix == "container" else str(mode)
