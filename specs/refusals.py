"""How readers refuse: problems that have their place already, handed through pydantic.

pydantic goes on with the other fields after a refusal, so that all problems of an object come at
once. What a variable holds is never repeated: it may be a password.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NoReturn

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from specs.fields import Spec
from specs.nodes import List, Map, Text
from specs.problems import Placed, Problem, nearest_word, problem_at, quoted
from specs.scalars import Unreadable
from specs.source import without_secrets

_MOST_SHOWN: Final = 30  # a longer list of keys is not read


def refuse(problems: Iterable[Problem]) -> NoReturn:
    """Raise what pydantic takes for the errors of one field."""
    errors = [
        InitErrorDetails(
            type=PydanticCustomError("spec", "{text}", {"text": each.text, "problem": each}),
            input=None,
        )
        for each in problems
    ]
    raise ValidationError.from_exception_data("spec", errors)


def refuse_if_any(problems: list[Problem]) -> None:
    """Raise them when there are some."""
    if problems:
        refuse(problems)


def refused(error: ValidationError) -> list[Problem]:
    """The problems that `refuse` put into an error, for readers that call other readers."""
    found = (details.get("ctx", {}).get("problem") for details in error.errors())
    return [each for each in found if isinstance(each, Problem)]


def wrong(value: object, expected: str, *, reason: str = "", hint: str = "") -> Problem:
    """A value that is not what its place takes; `reason` continues the sentence after the value."""
    text = f"{shown(value)} {reason or 'does not fit here'}"
    return problem_at(placed(value), text, expected=expected, hint=_variables(value) or hint)


def unreadable(value: str, error: Unreadable) -> Problem:
    """A notation's complaint at the place of the text."""
    hides = isinstance(value, Text) and (value.secret or value.foreign)
    hint, nearest = ("", "") if hides else (error.hint, error.nearest)
    problem = wrong(value, error.expected, reason=error.reason, hint=hint)
    return replace(problem, nearest=nearest)


def not_yet(value: object, what: str, hint: str = "") -> Problem:
    """Something that is understood, but that trueup cannot do so far."""
    return problem_at(placed(value), f"{what} is not carried out yet", hint=hint)


def _variables(value: object) -> str:
    """Where a value with variables comes from: else people search the wrong file."""
    if not isinstance(value, Text):
        return ""
    if value.unset:
        names = [quoted(name) for name in dict.fromkeys(value.unset)]
        are = "is not set, so it is" if len(names) == 1 else "are not set, so they are"
        return f"{', '.join(names)} {are} read as empty text"
    return "its variable is set in the environment or in `.env`" if value.foreign else ""


def shown(value: object) -> str:
    """A value as messages name it: as written, with `${X}` and not with what X holds."""
    match value:
        case Text():
            return _shown_text(value)
        case str() | int() | float():
            return quoted(str(value))
        case dict():
            return "a map"
        case list() | tuple():
            return "a list"
        case _:
            return "a missing value"


def _shown_text(node: Text) -> str:
    if node.secret:
        return "the secret"
    return quoted(without_secrets(node.written)) if node.written.strip() else "an empty value"


def placed(value: object) -> Placed | None:
    """The value when it knows its place."""
    return value if isinstance(value, (Text, Map, List)) else None


def unknown_key(key: Text, spec: type[Spec]) -> Problem:
    """What to say of a key that a model does not have."""
    if key in spec.not_yet:
        text = f"{quoted(key)} is a Compose key that trueup does not carry out yet"
        return problem_at(key, text)
    if key in spec.planned:
        return problem_at(key, f"{quoted(key)} is a key that trueup does not carry out yet")
    return unknown_word(key, spec.yaml_keys(), spec.noun, spec.renamed.get(key.lower(), ""))


def unknown_word(key: Text, known: Iterable[str], noun: str, meant: str = "") -> Problem:
    """A key that is not among the known ones, with the nearest of them or all of them."""
    words = tuple(known)
    near = meant or nearest_word(key, words)
    expected = "" if near or len(words) > _MOST_SHOWN else "one of " + ", ".join(words)
    hint = "" if near or expected else "`trueup schema --format markdown` shows all keys"
    text = f"{quoted(key)} is not a key of {noun}"
    return problem_at(key, text, nearest=near, expected=expected, hint=hint)
