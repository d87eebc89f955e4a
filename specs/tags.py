"""Patterns of tags, and which of the tags that match is the newest.

A pattern is a glob (`1.27.*-alpine`), or between slashes a regular expression. Where versions are
compared, what stands around them is left out: of `release-*-alpine` the star, of an expression
its one group if it has one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Final, Self

from specs.versions import NotAVersion, Range, Version

_WILD: Final = re.compile(r"[*?\[]")
_CLOSING: Final = re.compile(r"[*?\]]")
_DIGITS: Final = re.compile(r"([0-9]+)")


class BadPattern(ValueError):
    """The text is no pattern; what it is instead, in words."""


@dataclass(frozen=True, slots=True)
class TagPattern:
    """`lead` and `trail` are the text around the version in every tag that matches."""

    expression: re.Pattern[str]
    lead: str = ""
    trail: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `BadPattern`."""
        if len(text) > 2 and text[0] == text[-1] == "/":
            try:
                return cls(re.compile(text[1:-1], re.ASCII))
            except re.error as error:
                raise BadPattern(f"is no regular expression: {error}") from error
        if not text or re.search(r"[\s/:@]", text):
            raise BadPattern("cannot be in a tag")
        return cls(re.compile(translate(text)), *_around(text))

    def version_in(self, tag: str) -> str | None:
        """The part of a tag that is its version; None when the tag does not match."""
        found = self.expression.search(tag)
        if found is None:
            return None
        if self.expression.groups == 1:
            return found[1] or ""
        return tag.removeprefix(self.lead).removesuffix(self.trail)


def _around(glob: str) -> tuple[str, str]:
    """The text before and after the version: up to the first digit or wildcard, and from the last
    wildcard on, unless that goes on with the version."""
    first = re.search(r"[0-9*?\[]", glob)
    *_, last = (0, *(found.end() for found in _CLOSING.finditer(glob)))
    trail = glob[last:] if last and glob[last : last + 1] in ("-", "_") else ""
    return glob[: first.start()] if first else "", trail


EVERY_TAG: Final = TagPattern(re.compile(""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which tags may be taken. Without a range they are in the order in which people count:
    1.9 before 1.10."""

    pattern: TagPattern = EVERY_TAG
    range: Range | None = None

    @classmethod
    def parse(cls, pattern: str | None, range_: str | None) -> Self:
        """Raises `BadPattern` and `NotAVersion`."""
        return cls(
            pattern=EVERY_TAG if pattern is None else TagPattern.parse(pattern),
            range=None if range_ is None else Range.parse(range_),
        )

    def newest_first(self, tags: Iterable[str], current: str) -> list[str]:
        """Those of `tags` that may be taken in place of `current`, the newest first; none that is
        older. Of several names of one version the longest: `1.27.5` says more than `1.27`."""
        matching = {tag: text for tag in tags if (text := self.pattern.version_in(tag)) is not None}
        written = self.pattern.version_in(current) or current
        floor = _version(written)  # none: a tag like `stable`, which is older than nothing
        if self.range is None:
            least = _natural(written) if floor else ()
            counted = sorted(
                ((_natural(text), tag) for tag, text in matching.items()), reverse=True
            )
            return [tag for count, tag in counted if count >= least]
        found = ((version, tag) for tag, text in matching.items() if (version := _version(text)))
        held = [(v, v.parts, tag) for v, tag in found if self.range.holds(v)]
        return [tag for v, _, tag in sorted(held, reverse=True) if floor is None or v >= floor]


def _version(text: str) -> Version | None:
    try:
        return Version.parse(text)
    except NotAVersion:
        return None


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Runs of digits as numbers, and what is between them as text."""
    parts = (part for part in _DIGITS.split(text) if part)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)
