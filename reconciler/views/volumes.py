"""Volumes for people: the rows of ``volume ls`` and the document of ``volume inspect``."""

from collections.abc import Sequence

from reconciler.views.inspect import Document, moment
from runtime.api import ObservedContainer, VolumeMount, VolumeUse

COLUMNS = ("Driver", "Name")
TITLES = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Project": "PROJECT",
    "InUse": "IN USE",
}


def name(use: VolumeUse) -> str:
    """``shop/data``, as everything of a project is called."""
    return f"{use.project}/{use.volume.applied.name}"


def rows(
    volumes: Sequence[VolumeUse], containers: Sequence[ObservedContainer]
) -> list[dict[str, object]]:
    """A row per volume, by name."""
    return [
        {
            "Driver": "local",
            "Name": name(each),
            "Scope": "local",
            "Mountpoint": each.volume.path,
            "Labels": ",".join(f"{k}={v}" for k, v in sorted(each.volume.applied.labels.items())),
            "Project": each.project,
            "InUse": "yes" if users(each, containers) else "no",
        }
        for each in sorted(volumes, key=name)
    ]


def document(use: VolumeUse, containers: Sequence[ObservedContainer]) -> Document:
    """One volume in Docker's form, with those who use it."""
    spec = use.volume.applied
    return {
        "Name": name(use),
        "Driver": "local",
        "Scope": "local",
        "Mountpoint": use.volume.path,
        "CreatedAt": moment(use.volume.created),
        "Labels": dict(spec.labels),
        "Options": dict(spec.driver_opts),
        "Project": use.project,
        "UsedBy": [str(each.key) for each in users(use, containers)],
    }


def users(use: VolumeUse, containers: Sequence[ObservedContainer]) -> list[ObservedContainer]:
    """The generations that have the volume, running or not."""
    return [each for each in containers if each.key.project == use.project and _has(each, use)]


def _has(container: ObservedContainer, use: VolumeUse) -> bool:
    volume = use.volume.applied.name
    if volume in container.volumes:
        return True
    mounts = container.applied.mounts if container.applied else ()
    return any(isinstance(mount, VolumeMount) and mount.volume == volume for mount in mounts)
