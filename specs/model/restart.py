"""Restart policies: `no`, `always`, `unless-stopped`, `on-failure`, `on-failure:3`."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from specs.fields import Effect, Spec, about
from specs.notations import scalar
from specs.problems import nearest_word
from specs.scalars import Unreadable

_EXPECTED: Final = "one of no, always, unless-stopped, on-failure, on-failure:3"


class RestartKind(StrEnum):
    """After which ends the process is started again."""

    NO = "no"
    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    UNLESS_STOPPED = "unless-stopped"


class Restart(Spec):
    """A restart policy; `max_retries` None: without end."""

    noun: ClassVar[str] = "a restart policy"

    kind: RestartKind = about("When to restart.", Effect.IN_PLACE)
    max_retries: int | None = about(
        "How often, with on-failure.", Effect.IN_PLACE, default=None, ge=1
    )

    def __str__(self) -> str:
        return f"{self.kind}:{self.max_retries}" if self.max_retries else self.kind


NO_RESTART: Final = Restart(kind=RestartKind.NO)


def parse_restart(text: str) -> Restart:
    """The policy; `no` needs no quotes."""
    word, colon, count = text.partition(":")
    kinds = {kind.value: kind for kind in RestartKind}
    kind = kinds.get(word if word in kinds else word.lower())
    if kind is None:
        near = nearest_word(word, kinds)
        raise Unreadable(_EXPECTED, reason="is not a restart policy", nearest=near)
    if not colon:
        return Restart(kind=kind)
    if kind is not RestartKind.ON_FAILURE or not _is_count(count):
        raise Unreadable(_EXPECTED, reason="has a number of retries where none can be")
    return Restart(kind=kind, max_retries=int(count) or None)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


_SCHEMA: Final = {"type": ["string", "boolean"], "examples": [*RestartKind, "on-failure:3"]}

RestartPolicy = Annotated[Restart, *scalar(parse_restart, _EXPECTED, _SCHEMA, Restart)]
