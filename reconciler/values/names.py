"""What the names in a container's spec mean: others of the project, and images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from specs.model.container import Container
    from specs.model.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """``images`` leads from what a spec calls images to what all projects call them, ``keys`` from
    every name that a container has to its key; ``aliases`` are what others call it in their
    `links`."""

    images: Mapping[str, str]
    containers: Mapping[str, "Container"]
    keys: Mapping[str, str]
    aliases: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, project: "Project", images: Mapping[str, str]) -> Self:
        """Those of a project."""
        from specs.neighbours import keys_by_name

        keys = keys_by_name(project.containers)
        aliases: dict[str, tuple[str, ...]] = {}
        for container in project.containers.values():
            for target, alias in container.links:
                if alias != target:
                    aliases[keys[target]] = (*aliases.get(keys[target], ()), str(alias))
        return cls(images=images, containers=project.containers, keys=keys, aliases=aliases)

    def container(self, name: str) -> str:
        """The container that is meant by its key, or by its `container_name`."""
        return str(self.keys.get(name, name))

    def mode(self, mode: str) -> str:
        """``container:NAME`` as ``service:KEY``, other modes as they are."""
        prefix, _, name = str(mode).partition(":")
        return f"service:{self.container(name)}" if prefix == "container" else str(mode)
