"""What a container mounts, that of `volumes_from` included."""

from typing import TYPE_CHECKING, assert_never

import msgspec

from runtime.api import AnonymousMount, BindMount, Mount, TmpfsMount, VolumeMount

if TYPE_CHECKING:
    from reconciler.values.names import Names
    from specs.model import mount as spec
    from specs.model.container import Container


def mounts(container: "Container", names: "Names") -> tuple[Mount, ...]:
    """Sorted by target: their order in the file means nothing."""
    return tuple(sorted(_by_target(container, names).values(), key=lambda mount: mount.target))


def _by_target(container: "Container", names: "Names") -> dict[str, Mount]:
    """A container's own mounts go before those of others."""
    found: dict[str, Mount] = {}
    for source, read_only in container.volumes_from:
        for mount in _by_target(names.containers[names.container(source)], names).values():
            if isinstance(mount, (VolumeMount, BindMount)):
                found[mount.target] = _protected(mount) if read_only else mount
    for memory in container.tmpfs:
        found[str(memory.target)] = TmpfsMount(
            target=str(memory.target), size=memory.size, mode=memory.mode, options=memory.options
        )
    for each in container.volumes:
        found[str(each.target)] = _mount(each)
    return found


def _protected(mount: VolumeMount | BindMount) -> Mount:
    return msgspec.structs.replace(mount, read_only=True)


def _mount(each: "spec.Mount") -> Mount:
    from specs.model import mount as spec

    match each:
        case spec.VolumeMount():
            return VolumeMount(
                volume=str(each.volume),
                target=str(each.target),
                read_only=each.read_only,
                subpath=None if each.subpath is None else str(each.subpath),
                copy=each.copy_up,
                relabel=str(each.relabel),
            )
        case spec.BindMount():
            return BindMount(
                source=str(each.source),
                target=str(each.target),
                read_only=each.read_only,
                propagation=str(each.propagation),
                create_source=each.create_source,
                relabel=str(each.relabel),
            )
        case spec.AnonymousVolume():
            return AnonymousMount(target=str(each.target))
        case _:
            assert_never(each)
