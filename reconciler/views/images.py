"""The rows of ``images``, one for each name of an image, as Docker has them; what was removed."""

import re
from collections.abc import Iterator, Sequence

from reconciler.short_names import undigested
from reconciler.views.containers import image as called
from reconciler.views.quantities import ago, decimal_size, timestamp
from runtime.api import ImageSummary, Removal
from runtime.reference import parse

COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
DIGEST_COLUMNS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
TITLES = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}
NONE = "<none>"


def rows(
    images: Sequence[ImageSummary], *, now: float, full: bool, patterns: Sequence[str] = ()
) -> list[dict[str, object]]:
    """A row per name, newest first; an image without a name has one row, too. ``full`` does not
    cut ids, ``now`` is in seconds since the epoch. With ``patterns`` only names that fit one of
    them, as Docker's filter ``reference`` has it."""
    ordered = sorted(images, key=lambda image: (-image.created, image.id))
    tests = [_test(pattern) for pattern in patterns]
    return [
        _row(image, name, now, full)
        for image in ordered
        for name in _names(image)
        if not tests or any(_fits(test, name) for test in tests)
    ]


def _test(pattern: str) -> "re.Pattern[str]":
    """A shell's pattern, in which ``*`` and ``?`` stand for no slash (Go's path.Match)."""
    short = pattern.removeprefix("docker.io/").removeprefix("library/")
    wild = {"*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*|\?|\[[^]/]+\])", short)
    return re.compile(
        "".join(wild.get(each, each if each[:1] == "[" else re.escape(each)) for each in pieces)
    )


def _fits(test: "re.Pattern[str]", name: tuple[str, str, str]) -> bool:
    """By the repository, with the tag or digest or without; by what a spec calls it."""
    repository, tag, digest = name
    forms = [repository, f"{repository}:{tag}", f"{repository}@{digest}"]
    return bool(repository) and any(map(test.fullmatch, [*forms, repository.partition(" (")[0]]))


def labelled(image: ImageSummary, wanted: str) -> bool:
    """``KEY`` or ``KEY=VALUE``."""
    key, equals, value = wanted.partition("=")
    return key in image.labels and (not equals or image.labels[key] == value)


def dangling(image: ImageSummary) -> bool:
    """Whether nothing calls it by a tag."""
    return not image.tags


def removal(gone: Removal, untagged: str, deleted: str) -> Iterator[str]:
    """A line for each name and image that went, with Docker's words before it."""
    yield from (f"{untagged}: {called(name)}" for name in gone.untagged)
    yield from (f"{deleted}: {id}" for id in gone.deleted)


def _names(image: ImageSummary) -> list[tuple[str, str, str]]:
    """(repository, tag, digest) for each name; a digest alone is not listed beside a tag of the
    same repository, but told with it."""
    named = list(dict.fromkeys(_split(reference) for reference in sorted(image.references)))
    digests = {repository: digest for repository, _, digest in named if digest}
    tagged = [(repo, tag, digests.get(repo, "")) for repo, tag, _ in named if tag]
    known = {repository for repository, _, _ in tagged}
    alone = (name for name in named if name[0] not in known)
    of_files = ((_of_file(name), "", "") for name in image.names)
    return [*tagged, *alone, *of_files] or [("", "", "")]


def _of_file(name: str) -> str:
    """``site (shop)``: what the project shop calls an image that it has from a file."""
    called, at, project = undigested(name).rpartition("@")
    return f"{called} ({project})" if at else name


def _split(reference: str) -> tuple[str, str, str]:
    name = parse(reference)
    repository = name.familiar.partition("@")[0].removesuffix(f":{name.tag}")
    return repository, "" if name.digest else name.tag, name.digest


def _row(
    image: ImageSummary, name: tuple[str, str, str], now: float, full: bool
) -> dict[str, object]:
    repository, tag, digest = (part or NONE for part in name)
    return {
        "Repository": repository,
        "Tag": tag,
        "Digest": digest,
        "ID": image.id if full else image.id.removeprefix("sha256:")[:12],
        "CreatedSince": ago(image.created, now) if image.created else "N/A",
        "CreatedAt": timestamp(image.created) if image.created else "N/A",
        "Size": decimal_size(image.size),
    }
