"""Versions as semver.org 2.0.0 orders them, and ranges of them as npm writes them.

Tags of images are looser than the standard: a `v` may stand before the number, and parts may be
left out (`1.27`, which is 1.27.0).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import Final, Self

_NUMBER: Final = r"(?:0|[1-9][0-9]{0,17})"
_IDENTIFIERS: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION: Final = re.compile(
    rf"v?({_NUMBER})(?:\.({_NUMBER}))?(?:\.({_NUMBER}))?"
    rf"(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?"
)
_PART: Final = rf"(?:{_NUMBER}|[xX*])"
_COMPARATOR: Final = re.compile(
    rf"(\^|~>?|>=|<=|>|<|=)?\s*v?({_PART})(?:\.({_PART}))?(?:\.({_PART}))?"
    rf"(?:-({_IDENTIFIERS}))?(?:\+{_IDENTIFIERS})?(?=[\s,]|$)"
)
_BETWEEN: Final = re.compile(r"[\s,]*")
_HYPHEN: Final = re.compile(r"\s*(\S+)\s+-\s+(\S+)\s*")

# Below every version of the same number, those before its release included.
_LOWEST: Final = ("0",)


class NotAVersion(ValueError):
    """The text is no version, or no range of versions."""


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version; `before` are the identifiers of a pre-release, none: it is a release. `parts`
    says how many numbers were written. Build metadata has no rank (semver.org, 10), so two
    versions that differ only in it are equal, and so are 1.27 and 1.27.0."""

    major: int
    minor: int = 0
    patch: int = 0
    before: tuple[str, ...] = ()
    parts: int = 3

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `NotAVersion`."""
        found = _VERSION.fullmatch(text)
        if found is None:
            raise NotAVersion(text)
        numbers = [int(each) for each in found.groups()[:3] if each is not None]
        before = tuple(found[4].split(".")) if found[4] else ()
        if any(each.isdigit() and each != str(int(each)) for each in before):
            raise NotAVersion(text)  # semver.org, 9: no leading zeroes
        return cls(*_padded(numbers), before=before, parts=len(numbers))

    @property
    def core(self) -> tuple[int, int, int]:
        """The three numbers."""
        return self.major, self.minor, self.patch

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return (self.core, self.before) == (other.core, other.before)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self._rank() < other._rank()

    def __hash__(self) -> int:
        return hash((self.core, self.before))

    def __str__(self) -> str:
        core = ".".join(map(str, self.core))
        return f"{core}-{'.'.join(self.before)}" if self.before else core

    def _rank(self) -> tuple[object, ...]:
        """semver.org, 11: a release after its pre-releases; identifiers one by one, numbers as
        numbers and below words; of two where one begins like the other, the longer one is
        higher."""
        identifiers = tuple(
            (0, int(each), "") if each.isdigit() else (1, 0, each) for each in self.before
        )
        return (*self.core, not self.before, identifiers)


@dataclass(frozen=True, slots=True)
class _Bound:
    """One comparison with a version: `sign` is one of >=, >, <=, <."""

    sign: str
    version: Version

    def holds(self, version: Version) -> bool:
        match self.sign:
            case ">=":
                return version >= self.version
            case ">":
                return version > self.version
            case "<=":
                return version <= self.version
            case _:
                return version < self.version


@dataclass(frozen=True, slots=True)
class Range:
    """A set of versions: of `choices` one must hold, of it every bound."""

    choices: tuple[tuple[_Bound, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """`>=1.27 <2`, `^1.2`, `~1.2.3`, `1.x`, `1.2 - 1.4`, and several of them with `||`.

        Raises `NotAVersion`.
        """
        return cls(tuple(_choice(each) for each in text.split("||")))

    def holds(self, version: Version) -> bool:
        """Whether the version is in it. A pre-release is only where a bound names one of the same
        number: who asks for 2.0.0-rc.1 wants release candidates of 2.0.0, not of 2.1.0."""
        return any(
            all(bound.holds(version) for bound in choice) and _asked_for(version, choice)
            for choice in self.choices
        )


def _asked_for(version: Version, choice: Sequence[_Bound]) -> bool:
    if not version.before:
        return True
    named = (each.version for each in choice if each != _Bound("<", _lowest(each.version)))
    return any(each.before and each.core == version.core for each in named)


def _lowest(version: Version) -> Version:
    """What stands below all of its number: as the end of a range nobody asks for it."""
    return Version(*version.core, before=_LOWEST)


def _choice(text: str) -> tuple[_Bound, ...]:
    if hyphen := _HYPHEN.fullmatch(text):
        return (*_single(f">={hyphen[1]}"), *_single(f"<={hyphen[2]}"))
    if not text.strip():
        raise NotAVersion(text)
    bounds: list[_Bound] = []
    at = _end(_BETWEEN, text, 0)
    while at < len(text):
        found = _COMPARATOR.match(text, at)
        if found is None:
            raise NotAVersion(text)
        bounds += _bounds(found)
        at = _end(_BETWEEN, text, found.end())
    return tuple(bounds)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _single(text: str) -> tuple[_Bound, ...]:
    found = _COMPARATOR.fullmatch(text)
    if found is None:
        raise NotAVersion(text)
    return _bounds(found)


def _bounds(found: re.Match[str]) -> tuple[_Bound, ...]:
    """What a comparison with parts left out means: `1.2` is every 1.2.x."""
    sign, before = found[1] or "", tuple(found[5].split(".")) if found[5] else ()
    numbers: list[int] = []
    for part in found.groups()[1:4]:
        if part is None or not part.isdigit():
            break
        numbers.append(int(part))
    if before and len(numbers) < 3:
        raise NotAVersion(found[0])
    if not numbers:
        return (_Bound("<", _lowest(Version(0))),) if sign in ("<", ">") else ()
    lowest = Version(*_padded(numbers), before=before)
    whole = len(numbers) == 3
    match sign:
        case "^":
            return _from(lowest, _beyond(numbers, _leading(numbers)))
        case "~" | "~>":
            return _from(lowest, _beyond(numbers, min(len(numbers), 2)))
        case ">" if not whole:
            return (_Bound(">=", _beyond(numbers, len(numbers), release=True)),)
        case "<=" if not whole:
            return (_Bound("<", _beyond(numbers, len(numbers))),)
        case "<" if not whole:
            return (_Bound("<", _lowest(lowest)),)
        case ">" | "<" | ">=" | "<=":
            return (_Bound(sign, lowest),)
        case _ if whole:
            return (_Bound(">=", lowest), _Bound("<=", lowest))
        case _:
            return _from(lowest, _beyond(numbers, len(numbers)))


def _from(lowest: Version, beyond: Version) -> tuple[_Bound, ...]:
    return (_Bound(">=", lowest), _Bound("<", beyond))


def _leading(numbers: Sequence[int]) -> int:
    """How many numbers stand up to the first that is not 0: what `^` keeps."""
    return next((at for at, each in enumerate(numbers, start=1) if each), len(numbers))


def _beyond(numbers: Sequence[int], count: int, *, release: bool = False) -> Version:
    """The first version whose leading `count` numbers are higher; its own pre-releases are beyond,
    too, unless only its `release` is meant."""
    kept = [*numbers[:count]]
    kept[-1] += 1
    return Version(*_padded(kept), before=() if release else _LOWEST)


def _padded(numbers: Sequence[int]) -> tuple[int, int, int]:
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major, minor, patch
