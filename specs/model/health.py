"""`healthcheck`: a program that tells whether the container is well."""

from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from specs.fields import Effect, Spec, about
from specs.nodes import List, Text
from specs.notations import WORDS_SCHEMA, Flag, Seconds, count, filled, read_text, words
from specs.problems import nearest_word
from specs.refusals import refuse, wrong

_KINDS: Final = ("CMD", "CMD-SHELL", "NONE")
_EXPECTED: Final = "`[CMD, program, …]`, `[CMD-SHELL, line]`, `[NONE]`, or a line for the shell"
_IN_PLACE: Final = Effect.IN_PLACE


def _read_test(value: object) -> Any:
    if isinstance(value, str):
        return ("CMD-SHELL", read_text(value, filled))
    found = words(value)
    if isinstance(value, List):
        _check(value, found)
    return found


def _check(value: List, test: tuple[str, ...]) -> None:
    if not test:
        refuse([wrong(value, _EXPECTED, reason="is empty")])
    if test[0] not in _KINDS:
        first: Text = value[0]
        near = nearest_word(first, _KINDS) if first.isupper() else ""
        hint = f"did you mean `{near}`?" if near else "put CMD before the program"
        refuse([wrong(first, _EXPECTED, reason="is not how a test begins", hint=hint)])
    least, most = {"CMD": (2, 1 << 16), "CMD-SHELL": (2, 2), "NONE": (1, 1)}[test[0]]
    if not least <= len(test) <= most:
        refuse([wrong(value, _EXPECTED, reason=f"has {len(test) - 1} words after {test[0]}")])


Test = Annotated[
    tuple[str, ...],
    BeforeValidator(_read_test),
    WithJsonSchema({"anyOf": [{"type": "string"}, WORDS_SCHEMA]}),
]
_Time = Annotated[Seconds, Field(ge=0, le=86_400 * 365)]


class Healthcheck(Spec):
    """What is asked of a container, and how often; 0 stands for the usual time or number."""

    noun: ClassVar[str] = "a health check"

    test: Test | None = about(
        "Program that ends with 0 when all is well; none: the image's own.",
        _IN_PLACE,
        default=None,
    )
    interval: _Time = about("Time from one check to the next.", _IN_PLACE, default=30.0)
    timeout: _Time = about("Time that a check may take.", _IN_PLACE, default=30.0)
    retries: Annotated[int, *count(0, 1_000_000)] = about(
        "Failures in a row that make it unhealthy.", _IN_PLACE, default=3
    )
    start_period: _Time = about(
        "Time after the start in which failures do not count.", _IN_PLACE, default=0.0
    )
    start_interval: _Time = about(
        "Time between checks within the start period.", _IN_PLACE, default=5.0
    )
    disable: Flag = about(
        "Whether nothing is asked, not the image's own.", _IN_PLACE, default=False
    )

    @property
    def disabled(self) -> bool:
        """Whether nothing is asked."""
        return self.disable or self.test == ("NONE",)
