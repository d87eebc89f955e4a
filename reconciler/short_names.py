"""Names of images without a host, such as ``nginx``, and the registries they are looked for in.

Of several registries nobody knows beforehand which one has it, so such an image is called by the
short name and its project, as images of files are; the first registry that has it is meant.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from runtime.errors import Absent, Fault
from runtime.reference import DEFAULT_HOST, Reference, has_host, parse

if TYPE_CHECKING:
    from specs.lock import Pin

Answer = TypeVar("Answer")

_DIGEST = re.compile(r"(:[^/@]+)@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where short names are looked for, in this order; ``place`` is the file:line that says so,
    "" when nothing does."""

    hosts: tuple[str, ...] = (DEFAULT_HOST,)
    place: str = ""


class NoRegistryNamed(Fault):
    """A short name where those are refused."""

    exit_code = 64

    def __init__(self, text: str, place: str) -> None:
        self.text, self.place = text, place
        super().__init__(
            f"{text} names no registry, and short names are off ({place})",
            hint=f"write the registry, too: {DEFAULT_HOST}/{text}, if that one is meant",
        )


class NowhereThere(Absent):
    """None of the registries that were asked has it."""

    def __init__(self, found: Sequence[Reference]) -> None:
        self.found = tuple(found)
        super().__init__(
            f"{found[-1].repository} is in none of the registries on the search list",
            why=f"not there: {', '.join(each.familiar for each in found)}",
            hint="check the name and the tag, and `trueup search` for it",
        )


def candidates(text: str, search: Search) -> tuple[Reference, ...]:
    """The complete references that a name may mean, the first one that exists is meant; of a name
    with a host there is one. Raises ``BadReference``, ``NoRegistryNamed``."""
    whole = parse(text)
    if has_host(text):
        return (whole,)
    if not search.hosts:
        raise NoRegistryNamed(text, search.place)
    return tuple(dict.fromkeys(parse(f"{host}/{text}") for host in search.hosts))


def first_there(
    found: Sequence[Reference], ask: Callable[[Reference], Answer]
) -> tuple[Reference, Answer]:
    """The first reference whose registry has it, and the answer; a registry that gives none ends
    the search. Raises what ``ask`` raises, and ``NowhereThere`` for several that are absent."""
    if len(found) == 1:
        return found[0], ask(found[0])
    for each in found:
        with suppress(Absent):
            return each, ask(each)
    raise NowhereThere(found)


def called(text: str, search: Search, project: str) -> str:
    """What containers of a project call the image: the complete reference where only one can be
    meant, else ``nginx:1.27@shop``. Raises as ``candidates``."""
    first, *others = candidates(text, search)
    if not others:
        return str(first)
    tag = f":{first.tag}" if first.tag else ""
    digest = f"@{first.digest}" if first.digest else ""
    return f"{text.partition('@')[0].removesuffix(tag)}{tag}{digest}@{project}"


def pinned(name: str, pin: "Pin | None") -> str:
    """What containers call the image that they would call ``name`` if it were not locked: by its
    digest, so that neither a tag that moves nor another project touches it."""
    if pin is None:
        return name
    own = own_name(name)
    text, project = (own, name.removeprefix(own)) if own else (name, "")
    if pin.tag:
        repository = text[: text.rindex(":")]
        text = f"{repository}:{pin.tag}"
    return f"{text}@{pin.digest}{project}"


def undigested(name: str) -> str:
    """A name without its digest, if it has a tag to go by: as docker shows it in columns."""
    return _DIGEST.sub(r"\1", name)


def own_name(name: str) -> str:
    """What a spec calls an image that its project alone calls so: ``site`` of ``site@shop``,
    ``nginx:1.27`` of ``nginx:1.27@shop``; "" for a complete reference."""
    text, _, project = name.rpartition("@")
    return "" if project.startswith("sha256:") else text
