"""What can go wrong with images on disk."""

from collections.abc import Mapping, Sequence
from math import ceil

from runtime.errors import Absent, Fault

_STATES = {True: "running", False: "stopped"}


def _told(containers: Mapping[str, bool]) -> str:
    """Names, and whether they run; of many the first ones."""
    told = [f"{each} ({_STATES[runs]})" for each, runs in sorted(containers.items())]
    return f"{', '.join(told[:10])}{', ...' if len(told) > 10 else ''}"


class ImageAbsent(Absent):
    """An image that is not in the store."""

    def __init__(self, name: str, *, never: bool = False) -> None:
        self.name = name
        super().__init__(
            f"the image {name} is not here",
            why="its pull policy is 'never'" if never else "it was removed, or never pulled",
            hint=f"`trueup images` lists what is here; `trueup pull {name}` fetches it",
        )


class ArchiveMissing(Fault):
    """An image of a time when layers' archives were not kept."""

    def __init__(self, name: str, diff_id: str) -> None:
        self.name, self.diff_id = name, diff_id
        super().__init__(
            f"{name} cannot leave this machine as it came",
            why=f"only the unpacked files of its layer {diff_id[:19]} are here",
            hint="remove it and pull or load it once more: an older trueup kept no archives",
        )


class AmbiguousImage(Fault):
    """The beginning of an id that several images have."""

    def __init__(self, prefix: str, ids: Sequence[str]) -> None:
        self.prefix, self.ids = prefix, tuple(ids)
        super().__init__(
            f"{prefix} is not one image",
            why=f"{len(ids)} ids begin with it",
            hint="give more digits of the id",
        )


class NotEnoughRoom(Fault):
    """An image that cannot fit, told before anything of it is fetched."""

    def __init__(self, path: str, needed: int, free: int) -> None:
        self.path, self.needed, self.free = path, needed, free
        super().__init__(
            f"the image does not fit on the device that holds {path}",
            why=f"it takes at least {ceil(needed / 1e5) / 10:,.1f} MB,"
            f" and {free // 100_000 / 10:,.1f} MB are free",
            hint="free some space (`trueup image prune`), then run the same command again",
        )


class TagWithDigest(Fault):
    """A name that already says what it means."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(
            f"{reference} cannot be given to an image",
            why="a digest is not a name: it follows from the content",
            hint="leave out what begins with @",
        )


class ImageInUse(Fault):
    """Containers were made from the image; running or not, they need it. ``containers`` tells of
    each whether it runs; ``forced``: it would be refused with ``--force``, too."""

    def __init__(self, name: str, containers: Mapping[str, bool], *, forced: bool) -> None:
        self.name, self.containers = name, dict(containers)
        super().__init__(
            f"the image {name} is in use",
            why=f"made from it: {_told(containers)}",
            hint="take those down first"
            + ("" if forced else "; `--force` only takes its names away"),
        )


class ImageForgotten(Fault):
    """Containers were made from an image that is neither in the index nor has a configuration here:
    which layers they stand on is not known, so none may go."""

    def __init__(self, id: str, containers: Mapping[str, bool]) -> None:
        self.id, self.containers = id, dict(containers)
        super().__init__(
            "nothing can be removed from the image store",
            why=f"{_told(containers)} stand on layers of the image {id[:19]},"
            " and what those are is not known here any more",
            hint="pull or load that image once more, or take those down; nothing was removed",
        )


class SeveralNames(Fault):
    """An id whose image is known by several names."""

    def __init__(self, id: str, names: Sequence[str]) -> None:
        self.id, self.names = id, tuple(names)
        super().__init__(
            f"the image {id} has several names",
            why=", ".join(names[:10]),
            hint="name the one that shall go, or add `--force` to remove them all",
        )


class WrongLayer(Fault):
    """A layer unpacked into something else than the image's configuration says."""

    def __init__(self, wanted: str, found: str) -> None:
        self.wanted, self.found = wanted, found
        super().__init__(
            f"the layer {wanted} cannot be used",
            why=f"its archive has the digest {found}",
            hint="the image is damaged or hostile: build and push it anew",
        )


class DamagedImage(Fault):
    """A part of an image is not what it was, found when it was to be read."""

    def __init__(self, part: str, why: str) -> None:
        self.part = part
        super().__init__(
            f"{part} is damaged",
            why=why,
            hint="`trueup image verify` tells which images need it; pull or load those once more",
        )


class BadArchive(Fault):
    """A file that is not an image archive, or a damaged one."""

    def __init__(self, path: str, why: str, hint: str = "") -> None:
        self.path = path
        super().__init__(
            f"{path} cannot be loaded",
            why=why,
            hint=hint or "make it with 'docker save', 'podman save' or 'skopeo copy'",
        )


class SeveralImages(BadArchive):
    """More images than a spec's ``archive:`` can mean."""

    def __init__(self, path: str, count: int, names: Sequence[str]) -> None:
        self.count, self.names = count, tuple(names)
        listed = f": {', '.join(names[:10])}" if names else ""
        super().__init__(
            path, f"it holds {count} images{listed}", "save one image into one archive"
        )


class BadTree(Fault):
    """What was to be imported is no tar, or a damaged one."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(
            f"{path} cannot be imported",
            why=why,
            hint="give a tar of a file system, as `trueup export` and `tar -C FOLDER -c .` make it",
        )


class FileUnreadable(Fault):
    """The file that an image is made from is not there or not a plain file."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(f"{path} cannot be read", why=why, hint="check the path in the spec")


class FileChanged(Fault):
    """The file that an image is made from changed while it was read."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path} changed while it was read",
            hint="wait until whoever writes it is done, then run the same command again",
        )


class NewerStore(Fault):
    """The store's index was written by a newer trueup."""

    def __init__(self, path: str, found: int) -> None:
        super().__init__(
            f"the image store at {path} has the format {found}",
            why="a newer trueup has written it",
            hint="use the newer trueup; nothing was changed",
        )


class DamagedStore(Fault):
    """SQLite cannot read the store's index."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"the image store's index {path} cannot be read",
            why=why,
            hint="move it away and pull the images again; what containers stand on stays",
        )


class StoreBusy(Fault):
    """Others have been working on the store for too long; ``who``, when that is known."""

    def __init__(self, path: str, waited: float, who: str = "") -> None:
        super().__init__(
            f"the image store at {path} is busy",
            why=f"{who or 'another process'} has been working on it for more than {waited:.0f} s",
            hint="wait for it to end, then run the same command again",
        )
