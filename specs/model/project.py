"""The project: owner of everything that a spec declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from pydantic import PrivateAttr

from specs.fields import Effect, Spec, about
from specs.model.container import Container
from specs.model.image import Image
from specs.model.network import Network
from specs.model.registry import Registry, SearchList
from specs.model.volume import Volume
from specs.naming import NAME_PATTERN
from specs.nodes import Map, has_variable, nearest_place
from specs.source import Span

_IN_PLACE: Final = Effect.IN_PLACE


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Places:
    """Where everything stands in the text. Two projects that differ only in this are equal."""

    root: Map | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def __hash__(self) -> int:
        return 0


class Project(Spec):
    """What a spec asks for, validated and immutable.

    `files` are the absolute paths of all that was read for it, environment files included.
    """

    filled_in: ClassVar[frozenset[str]] = frozenset({"directory", "files"})
    not_yet: ClassVar[frozenset[str]] = frozenset({"configs", "include", "models", "secrets"})
    renamed: ClassVar[Mapping[str, str]] = {
        "name": "project", "services": "containers", "container": "containers", "image": "images",
        "pods": "containers",
    }  # fmt: skip

    name: str = about(
        "Owner of all that is declared; default: the folder's name.",
        validation_alias="project",
        pattern=f"^{NAME_PATTERN}$",
    )
    directory: str = about("Absolute path that relative paths begin at.", _IN_PLACE)
    files: tuple[str, ...] = about("Files that were read.", _IN_PLACE, default=())
    registries: dict[str, Registry] = about(
        "What is special about registries, by host and port.", _IN_PLACE, default_factory=dict
    )
    search_registries: SearchList | None = about(
        "Registries that names without a host are looked for in, in this order; `[]`: none.",
        _IN_PLACE,
        default=None,
    )
    images: dict[str, Image] = about(
        "Images under names of the project's own.", _IN_PLACE, default_factory=dict
    )
    volumes: dict[str, Volume] = about("Named volumes.", _IN_PLACE, default_factory=dict)
    networks: dict[str, Network] = about("Networks.", _IN_PLACE, default_factory=dict)
    containers: dict[str, Container] = about("Containers.", _IN_PLACE, default_factory=dict)

    _places: Places = PrivateAttr(default_factory=Places)

    def placed(self, root: Map) -> Self:
        """The same project, knowing where its parts stand."""
        # The copy is this very class's, and so is its private attribute.
        project = self.model_copy()
        project._places = Places(root)  # noqa: SLF001
        return project

    def span(self, *path: str) -> Span | None:
        """Where the value at this path was declared: its key, or the nearest that encloses it.

        `project.span("containers", "web", "mem_limit")`; list items count from "0". None for what
        has no place: the default network, or a project that was not read from text.
        """
        root = self._places.root
        place = nearest_place(root, path) if root is not None else None
        return place.span if place is not None else None

    def is_variable(self, *path: str) -> bool:
        """Whether a variable stands in the value at this path, which therefore may be a secret."""
        node: object = self._places.root
        for part in path:
            node = node.get(part) if isinstance(node, Map) else None
        return has_variable(node)
