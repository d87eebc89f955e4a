"""file:line of every object, field and variable that the files have."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from specs.model.container import Container
    from specs.model.project import Project

Place = tuple[str, str, str]

# Fields that are also written elsewhere in a container, the first that is there counts.
_ELSEWHERE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "mem_limit": (("mem_limit",), ("deploy", "resources", "limits", "memory")),
    "cpus": (("cpus",), ("cpu_quota",), ("deploy", "resources", "limits", "cpus")),
    "pids_limit": (("pids_limit",), ("deploy", "resources", "limits", "pids")),
    "mem_reservation": (("mem_reservation",), ("deploy", "resources", "reservations", "memory")),
    "restart": (("deploy", "restart_policy"), ("restart",)),
    "update": (("update",), ("deploy", "update_config")),
    "replicas": (("replicas",), ("scale",), ("deploy", "replicas")),
    "mounts": (("volumes",), ("tmpfs",), ("volumes_from",)),
    "security": (("security_opt",),),
}


def places(project: "Project", images: Mapping[str, str]) -> dict[Place, str]:
    """(kind, name, field) -> file:line; ``images`` are the names that containers call them."""
    found: dict[Place, str] = {}

    def note(kind: str, name: str, field: str, *path: str) -> None:
        if span := project.span(*path):
            found[kind, name, field] = span.brief

    for name, container in project.containers.items():
        note("container", str(name), "", "containers", str(name))
        for field, path in _fields(container):
            note("container", str(name), field, "containers", str(name), *path)
    for kind, section in (("volume", "volumes"), ("network", "networks")):
        for name, declared in getattr(project, section).items():
            note(kind, str(name), "", section, str(name))
            for written in declared.model_fields_set:
                note(kind, str(name), written, section, str(name), written)
    for name, image in project.images.items():
        note("image", images[str(name)], "", "images", str(name))
        if image.tags:
            note("image", images[str(name)], "tags", "images", str(name), "tags")
    return found


_VEILED = ("annotations", "command", "entrypoint", "healthcheck", "labels")


def veils(project: "Project") -> frozenset[Place]:
    """(kind, name, field) of free text with variables in it: any of them may be a secret, so no
    message may show the value."""
    return frozenset(
        ("container", str(name), field)
        for name in project.containers
        for field in _VEILED
        if project.is_variable("containers", str(name), field)
    )


def _fields(container: "Container") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Fields of a container that are written, each with the path that leads there."""
    for written in sorted(container.model_fields_set):
        yield written, (written,)
    for group in ("environment", "labels"):
        for key in getattr(container, group):
            yield f"{group}.{key}", (group, str(key))
    for field, paths in _ELSEWHERE.items():
        for path in paths:
            if _is_written(container, path):
                yield field, path
                break


def _is_written(value: object, path: tuple[str, ...]) -> bool:
    for part in path:
        if part not in getattr(value, "model_fields_set", ()):
            return False
        value = getattr(value, part)
    return True
