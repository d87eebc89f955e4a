"""Which object a word means: ``project/name`` or a name that is unique; of containers also an id or
its prefix."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from runtime.api import ContainerKey, ObservedContainer, Phase
from runtime.errors import Fault

Object = TypeVar("Object")
_LIVE = (Phase.RUNNING, Phase.RESTARTING)


class NoSuchContainer(Fault):
    """Nothing here is called that."""

    def __init__(self, word: str, near: str | None) -> None:
        self.word = word
        super().__init__(
            f"there is no container `{word}`",
            hint=f"did you mean `{near}`?" if near else "`trueup ps -a` lists them all",
        )


class Ambiguous(Fault):
    """Several containers are called that."""

    def __init__(self, word: str, candidates: Sequence[str]) -> None:
        self.word, self.candidates = word, tuple(candidates)
        super().__init__(f"`{word}` could be {' or '.join(candidates)}", hint="write more of it")


def find(word: str, containers: Sequence[ObservedContainer]) -> ObservedContainer:
    """The container that ``word`` names; of its generations the living one, else the newest.

    Raises ``NoSuchContainer`` or ``Ambiguous``.
    """
    for named in (_by_full_name, _by_name):
        found = [each for each in containers if named(each.key, word)]
        if found:
            return _of_one_key(word, found)
    found = [each for each in containers if each.id.startswith(word.lower())] if word else []
    if len(found) == 1:
        return found[0]
    if found:
        raise Ambiguous(word, sorted(each.id[:12] for each in found))
    raise NoSuchContainer(word, _nearest(word, containers))


def named(word: str, objects: Mapping[str, Object]) -> Object | None:
    """The object that ``word`` names, out of those by ``project/name``; None without one.

    Raises ``Ambiguous``.
    """
    if word in objects:
        return objects[word]
    found = [name for name in objects if name.partition("/")[2] == word]
    if len(found) > 1:
        raise Ambiguous(word, sorted(found))
    return objects[found[0]] if found else None


def _by_full_name(key: ContainerKey, word: str) -> bool:
    return word in (str(key), f"{key}.{key.replica}")


def _by_name(key: ContainerKey, word: str) -> bool:
    return word in (str(key).partition("/")[2], f"{key.name}.{key.replica}")


def _of_one_key(word: str, found: Sequence[ObservedContainer]) -> ObservedContainer:
    keys = sorted({str(each.key) for each in found})
    if len(keys) > 1:
        raise Ambiguous(word, keys)
    return max(found, key=lambda each: (each.phase in _LIVE, each.generation))


def _nearest(word: str, containers: Sequence[ObservedContainer]) -> str | None:
    from difflib import get_close_matches

    full = {str(each.key) for each in containers}
    names = sorted(full | {name.partition("/")[2] for name in full})
    return next(iter(get_close_matches(word, names, n=1)), None)
