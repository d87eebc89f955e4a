"""Types of fields: a scalar's notation, joined to the Python type that it becomes.

`Mode` is an `int` whose YAML says `0750`. Each takes a node of the YAML or a canonical value, and
carries the JSON Schema of what may be written.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ValidationError, WithJsonSchema

from specs import scalars
from specs.fields import is_null
from specs.nodes import List, Map, Text
from specs.problems import MOST_PROBLEMS, Problem, nearest_word
from specs.refusals import refuse, refuse_if_any, refused, unreadable, wrong
from specs.scalars import Unreadable

Parse = Callable[[str], Any]

_REFERENCE: Final = re.compile(
    r"(?=.{1,512}\Z)(?:[\w.-]+(?::\d{1,5})?/)?[\w.-]+(?:/[\w.-]+)*"
    r"(?::\w[\w.-]{0,127})?(?:@[a-z0-9+._-]+:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
_TEXT: Final = {"type": "string"}
_VARIABLE: Final = {"type": "string", "pattern": r"\$"}
WORD_SCHEMA: Final = {"type": ["string", "number", "boolean"]}
WORDS_SCHEMA: Final = {"type": "array", "items": WORD_SCHEMA}


def read_text(value: str, parse: Parse) -> Any:
    """What `parse` makes of the text; its complaint becomes a problem with the text's place."""
    try:
        return parse(str(value))
    except Unreadable as error:
        refuse([unreadable(value, error)])


def scalar(
    parse: Parse, expected: str, schema: Mapping[str, Any], *native: type
) -> tuple[BeforeValidator, WithJsonSchema]:
    """Reads text by `parse`; lets values of the `native` types through; refuses the rest."""

    def read(value: object) -> Any:
        if isinstance(value, str):
            return read_text(value, parse)
        if isinstance(value, native) and not isinstance(value, List):
            return value
        return refuse([wrong(value, expected)])

    return BeforeValidator(read), WithJsonSchema(dict(schema))


def line(text: str) -> str:
    """Text as it is; the kernel ends strings at a zero byte, so there can be none."""
    if "\0" in text:
        raise Unreadable("text without a zero byte")
    return text


def filled(text: str) -> str:
    """Text that is not empty."""
    if not text.strip():
        raise Unreadable("text that is not empty")
    return line(text)


def reference(text: str) -> str:
    """An image: a name from `images:` or a reference such as `nginx:1.27`.

    Only its letters are checked here; how it is completed is the engine's affair.
    """
    expected = "an image such as nginx:1.27 or docker.io/library/nginx:1.27"
    if not _REFERENCE.fullmatch(text):
        raise Unreadable(expected)
    repository = _repository(text)
    if repository != repository.lower():
        raise Unreadable(expected, reason="has capitals, which no registry takes in a name")
    return text


def _repository(text: str) -> str:
    """What stands between host and tag; "" where a name from `images:` can be meant."""
    name = text.partition("@")[0]
    first, slash, rest = name.partition("/")
    bare = not slash and name == text and ":" not in name
    return "" if bare else (rest or first).partition(":")[0]


def absolute(text: str) -> str:
    """A path inside a container, without `.` and `..`, never the root itself."""
    import posixpath

    if not text.startswith("/") or "\0" in text:
        raise Unreadable("a path in the container that begins with /")
    path = "/" + posixpath.normpath(text).lstrip("/")
    if path == "/":
        raise Unreadable("a path below /", reason="is the whole root file system")
    return path


def hostname(text: str) -> str:
    """A host name: RFC 1123's labels, at most 64 bytes as sethostname(2) takes them."""
    label = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    if len(text) > 64 or not re.fullmatch(rf"{label}(?:\.{label})*", text, re.ASCII):
        raise Unreadable("a host name: letters, digits, `-` and `.`, at most 64 in all")
    return text


def name_of(what: str, pattern: str, rule: str) -> Parse:
    """A reader of names, with its rule in words."""
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise Unreadable(rule, reason=f"cannot be the name of {what}")
        return text

    return read


def choice(words: type[StrEnum], what: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """The words of an enum, with the nearest one for a wrong word."""

    known = [each.value for each in words]

    def read(text: str) -> StrEnum:
        if text in known:
            return words(text)
        near = nearest_word(text, known)
        raise Unreadable("one of " + ", ".join(known), reason=f"is not {what}", nearest=near)

    return scalar(
        read, "one of " + ", ".join(known), {"anyOf": [{"enum": known}, _VARIABLE]}, words
    )


def either(kind: str, *examples: Any) -> dict[str, Any]:
    """A number that may be quoted, or come from a variable."""
    return {"type": [kind, "string"], "examples": list(examples)}


OBJECT_NAME: Final = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
OBJECT_RULE: Final = "letters, digits, `_`, `.` and `-`, beginning with a letter or digit"


def words(value: object) -> Any:
    """A list of scalars as text: numbers and `yes` stay as they were written."""
    if isinstance(value, (str, Map)):
        refuse([wrong(value, "a list, `[a, b]` or lines that begin with `- `")])
    if isinstance(value, List):
        refuse_if_any([wrong(v, "text") for v in value if not _is_word(v)])
    return tuple(str(v) for v in value) if isinstance(value, (list, tuple)) else value


def _is_word(value: object) -> bool:
    return isinstance(value, Text) and not value.null and "\0" not in value


def argv(value: object) -> Any:
    """A command: a list of words, or one text that is split as a shell would."""
    if isinstance(value, str):
        return read_text(value, lambda text: scalars.parse_command(line(text)))
    if isinstance(value, Map):
        refuse([wrong(value, "a command as text, or a list of words")])
    return words(value)


def each_of(value: object, expected: str, read: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Every item of a list read on its own, so that all their problems come at once."""
    if not isinstance(value, (list, tuple)):
        refuse([wrong(value, expected)])
    results: list[Any] = []
    problems: list[Problem] = []
    for item in value:
        try:
            results.append(read(item) if isinstance(item, (str, dict)) else _other(item, expected))
        except ValidationError as error:
            problems += refused(error)
        if len(problems) > MOST_PROBLEMS:
            break
    refuse_if_any(problems)
    return tuple(results)


def _other(item: object, expected: str) -> Any:
    """An item that is neither text nor map: a value made already, or a list too many."""
    if isinstance(item, (list, type(None))):
        refuse([wrong(item, expected)])
    return item


def list_of(
    parse: Parse, expected: str, *, alone: bool = False
) -> tuple[BeforeValidator, WithJsonSchema]:
    """Reads a list of texts by `parse`; with `alone` one text may stand for a list of one."""

    def read_item(item: object) -> Any:
        if isinstance(item, str) and not is_null(item):
            return read_text(item, parse)
        return refuse([wrong(item, expected)])

    def read(value: object) -> Any:
        items = [value] if alone and isinstance(value, str) else value
        return each_of(items, f"a list, of {expected}", read_item)

    choices = [WORDS_SCHEMA, *([WORD_SCHEMA] if alone else [])]
    return BeforeValidator(read), WithJsonSchema({"anyOf": choices} if alone else WORDS_SCHEMA)


def whole(least: int, most: int) -> Parse:
    """A reader of whole numbers within bounds."""

    def read(text: str) -> int:
        number = scalars.parse_integer(text)
        if not least <= number <= most:
            raise Unreadable(f"a number from {least} to {most}")
        return number

    return read


def count(least: int, most: int) -> tuple[BeforeValidator, WithJsonSchema]:
    """A field that is a whole number within bounds."""
    schema = {"type": ["integer", "string"], "minimum": least, "maximum": most}
    return scalar(whole(least, most), f"a number from {least} to {most}", schema, int)


def matching(pattern: str, expected: str) -> Parse:
    """A reader of texts that match a pattern, and are kept as they are."""
    compiled = re.compile(pattern, re.ASCII)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise Unreadable(expected)
        return text

    return read


def _nothing(_: object) -> bool:
    return True


Line = Annotated[str, *scalar(line, "text", WORD_SCHEMA)]
Filled = Annotated[str, *scalar(filled, "text", WORD_SCHEMA)]
Reference = Annotated[str, *scalar(reference, "an image such as nginx:1.27", _TEXT)]
Absolute = Annotated[str, *scalar(absolute, "a path in the container that begins with /", _TEXT)]
Flag = Annotated[
    bool, *scalar(scalars.parse_flag, "true or false", {"type": ["boolean", "string"]}, bool)
]
Seconds = Annotated[
    float,
    *scalar(
        scalars.parse_duration,
        "a duration such as 10s",
        {"anyOf": [{**_TEXT, "examples": ["10s", "1m30s"]}, {"const": 0}]},
        int,
        float,
    ),
]
Mode = Annotated[
    int,
    *scalar(scalars.parse_mode, "octal bits such as 0750", either("integer", "0750"), int),
]
Owner = Annotated[
    tuple[int, int],
    *scalar(scalars.parse_owner, "numbers such as 27:27", either("integer", "27:27"), tuple),
]
User = Annotated[
    str,
    *scalar(
        scalars.parse_user,
        "a user as name or number, such as app or 1000:1000",
        either("integer", "1000:1000"),
    ),
]
Signal = Annotated[
    str, *scalar(scalars.parse_signal, "a signal such as SIGTERM", either("integer", "SIGQUIT"))
]
Hostname = Annotated[str, *scalar(hostname, "a host name", _TEXT)]
Argv = Annotated[
    tuple[str, ...], BeforeValidator(argv), WithJsonSchema({"anyOf": [_TEXT, WORDS_SCHEMA]})
]
Words = Annotated[tuple[str, ...], BeforeValidator(words), WithJsonSchema(WORDS_SCHEMA)]
Size = Annotated[
    int,
    *scalar(scalars.parse_bytes, "a size such as 64m", either("integer", "64m", "1g"), int),
]
Ignored = Annotated[bool, BeforeValidator(_nothing), WithJsonSchema({})]
"""What is taken in any form and has no effect."""
