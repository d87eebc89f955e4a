"""Names of images on the command line: a reference in any form, an id, what a spec calls one."""

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from reconciler.cli.arguments import Usage
from runtime.reference import BadReference, Reference, has_host, parse

if TYPE_CHECKING:
    from reconciler.short_names import Search
    from runtime.api import ImageSummary, Runtime


def reference(text: str) -> Reference:
    """Raises ``Usage``: here it is a word of the command line that is wrong."""
    try:
        return parse(text)
    except BadReference as error:
        raise _misread(error) from error


def tagged(text: str) -> Reference:
    """A name that can be given to an image: with a tag, without a digest. Raises ``Usage``."""
    found = reference(text)
    if found.digest:
        raise Usage(f"`{text}` has a digest", "a digest follows from what an image is; give a tag")
    return found


def candidates(text: str, search: "Search") -> tuple[Reference, ...]:
    """What a name may mean in registries, the first one that is there is meant. Raises ``Usage``
    and ``NoRegistryNamed``."""
    from reconciler import short_names

    try:
        return short_names.candidates(text, search)
    except BadReference as error:
        raise _misread(error) from error


def _misread(error: BadReference) -> Usage:
    return Usage(f"{error.what}: {error.why}" if error.why else error.what, error.hint)


def has_default_tag(written: str, found: Reference) -> bool:
    """Whether the tag was not written but understood."""
    return bool(found.tag) and not written.endswith(f":{found.tag}")


def local(word: str, runtime: "Runtime") -> str:
    """What to call an image that is here. Where the machine says in which registries short names
    are looked for, the first of them that this one was pulled from is meant."""
    from reconciler.registries import known
    from reconciler.short_names import NoRegistryNamed, Search

    if has_host(word):
        return word
    search = known(None).search
    if search == Search():
        return word
    try:
        found = candidates(word, search)
    except (Usage, NoRegistryNamed):  # an id, or a name of a spec
        return word
    return first_here(found, runtime.images.list()) or word


def first_here(found: Iterable[Reference], images: "Sequence[ImageSummary]") -> str:
    """The first of the references that an image has here; "": none is."""
    here = {name for image in images for name in image.references}
    return next((str(each) for each in found if str(each) in here), "")


def platform(text: str) -> str:
    """``linux/arm64`` or ``linux/arm/v7``; for argparse's ``type=``."""
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(part.isalnum() for part in parts):
        raise argparse.ArgumentTypeError(
            f"`{text}` is no platform; write it like linux/amd64 or linux/arm/v7"
        )
    return text
