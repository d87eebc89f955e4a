"""`ulimits`: limits of the process, `nofile: 1024` or `nofile: {soft: 1024, hard: 4096}`."""

from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.fields import Spec, about
from specs.model.mount import long_texts
from specs.nodes import Map, Text
from specs.notations import read_text
from specs.problems import Problem, nearest_word, problem_at, quoted
from specs.refusals import refuse, refuse_if_any, wrong
from specs.scalars import Unreadable, parse_integer

KNOWN: Final = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip
_EXPECTED: Final = "a map such as `{nofile: 65536, nproc: {soft: 1024, hard: 2048}}`"


class Ulimit(Spec):
    """One limit of setrlimit(2); -1 is unlimited."""

    noun: ClassVar[str] = "a limit"

    soft: int = about("What holds.")
    hard: int = about("How far the process may raise it.")


def _read_all(value: object) -> Any:
    if not isinstance(value, Map):
        return value if isinstance(value, dict) else refuse([wrong(value, _EXPECTED)])
    refuse_if_any([_unknown(key) for key in value.keys_at.values() if key not in KNOWN])
    return {str(name): _read_one(value[name]) for name in value}


def _unknown(key: Text) -> Problem:
    near = nearest_word(key, KNOWN)
    expected = "" if near else "one of " + ", ".join(KNOWN)
    text = f"{quoted(key)} is not a limit of processes"
    return problem_at(key, text, nearest=near, expected=expected)


def _read_one(value: object) -> Ulimit:
    if isinstance(value, Text) and not value.null:
        number = read_text(value, _number)
        return Ulimit(soft=number, hard=number)
    if not isinstance(value, Map):
        refuse([wrong(value, "a number, or `{soft: 1024, hard: 2048}`")])
    texts = long_texts(value, ("soft", "hard"), set(), "a limit")
    if len(texts) < 2:
        refuse([wrong(value, "both `soft` and `hard`", reason="has only one of two bounds")])
    soft, hard = (read_text(texts[key], _number) for key in ("soft", "hard"))
    if hard != -1 and not 0 <= soft <= hard:
        refuse([wrong(value, "a `soft` of at most `hard`", reason="has a `soft` above `hard`")])
    return Ulimit(soft=soft, hard=hard)


def _number(text: str) -> int:
    number = parse_integer(text)
    if number < -1:
        raise Unreadable("a number, -1 for no limit")
    return number


_ONE: Final = {"type": ["integer", "string"]}
_BOTH: Final = {
    "type": "object",
    "properties": {"soft": _ONE, "hard": _ONE},
    "required": ["soft", "hard"],
    "additionalProperties": False,
}
Ulimits = Annotated[
    dict[str, Ulimit],
    BeforeValidator(_read_all),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"enum": list(KNOWN)},
            "additionalProperties": {"anyOf": [_ONE, _BOTH]},
        }
    ),
]
