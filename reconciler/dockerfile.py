"""Instructions of Dockerfiles that say how an image runs, as ``import --change`` takes them.

https://docs.docker.com/reference/dockerfile/ ; RUN, COPY and their like make layers, and are not
for here.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec.structs import replace

from runtime.api import Healthcheck, ImageDefaults
from runtime.errors import Fault
from specs.scalars import Unreadable, parse_duration, parse_signal, parse_user

Value = TypeVar("Value")

_SHELL = ("/bin/sh", "-c")
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_VARIABLE = re.compile(
    r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?::(?P<sign>[-+])(?P<word>[^}]*))?\})"
)
_CHECK_OPTION = re.compile(r"--([a-z-]+)=(\S+)\s*")
_LARGEST_PORT = 65535


class BadInstruction(Fault):
    """An instruction that cannot be carried out."""

    exit_code = 64

    def __init__(self, text: str, why: str) -> None:
        self.text = text
        super().__init__(
            f"`{text[:200]}` cannot be carried out",
            why=why,
            hint=f"known are: {', '.join(sorted(_INSTRUCTIONS))}",
        )


class _Wrong(Exception):
    """What is wrong with the instruction at hand."""


def changed(image: ImageDefaults, instructions: Iterable[str]) -> ImageDefaults:
    """The image with each instruction carried out in turn. Raises ``BadInstruction``."""
    for text in instructions:
        word, _, rest = text.strip().partition(" ")
        carry_out = _INSTRUCTIONS.get(word.upper())
        if carry_out is None:
            raise BadInstruction(text, f"there is no instruction {word.upper()} for an import")
        if not rest.strip():
            raise BadInstruction(text, f"{word.upper()} needs a value")
        try:
            image = carry_out(image, rest.strip())
        except _Wrong as wrong:
            raise BadInstruction(text, str(wrong)) from wrong
    return image


def _cmd(image: ImageDefaults, rest: str) -> ImageDefaults:
    return replace(image, cmd=_command(rest))


def _entrypoint(image: ImageDefaults, rest: str) -> ImageDefaults:
    return replace(image, entrypoint=_command(rest))


def _env(image: ImageDefaults, rest: str) -> ImageDefaults:
    known = dict(each.partition("=")[::2] for each in image.env)
    known |= _pairs(rest, known)
    return replace(image, env=tuple(f"{name}={value}" for name, value in known.items()))


def _label(image: ImageDefaults, rest: str) -> ImageDefaults:
    return replace(image, labels={**image.labels, **_pairs(rest, _variables(image))})


def _expose(image: ImageDefaults, rest: str) -> ImageDefaults:
    ports = [port for word in _values(rest, image) for port in _range(word)]
    return replace(image, exposed_ports=tuple(dict.fromkeys((*image.exposed_ports, *ports))))


def _range(word: str) -> Iterator[str]:
    found = _PORTS.fullmatch(word)
    if found is None:
        raise _Wrong(f"`{word}` is no port; write it like 80, 53/udp or 8000-8010")
    first, last, protocol = int(found[1]), int(found[2] or found[1]), (found[3] or "tcp").lower()
    if not 0 < first <= last <= _LARGEST_PORT:
        raise _Wrong(f"`{word}` is no port: they go from 1 to {_LARGEST_PORT}")
    return (f"{number}/{protocol}" for number in range(first, last + 1))


def _stop_signal(image: ImageDefaults, rest: str) -> ImageDefaults:
    return replace(image, stop_signal=_read(parse_signal, _one(rest, image)))


def _user(image: ImageDefaults, rest: str) -> ImageDefaults:
    return replace(image, user=_read(parse_user, _one(rest, image)))


def _volume(image: ImageDefaults, rest: str) -> ImageDefaults:
    places = _array(rest)
    found = _values(rest, image) if places is None else places
    return replace(image, volumes=tuple(dict.fromkeys((*image.volumes, *found))))


def _workdir(image: ImageDefaults, rest: str) -> ImageDefaults:
    """One that is not absolute starts at the one before."""
    from posixpath import join, normpath

    whole = normpath(join("/", image.working_dir, _one(rest, image)))
    return replace(image, working_dir=whole)


def _healthcheck(image: ImageDefaults, rest: str) -> ImageDefaults:
    if rest.upper() == "NONE":
        return replace(image, healthcheck=Healthcheck(test=("NONE",)))
    said: dict[str, Any] = {}
    while option := _CHECK_OPTION.match(rest):
        said |= _check_option(option[1], option[2])
        rest = rest[option.end() :]
    word, _, command = rest.partition(" ")
    if word.upper() != "CMD" or not command.strip():
        raise _Wrong("after the options of HEALTHCHECK stands CMD and a command, or NONE alone")
    array = _array(command.strip())
    test = ("CMD-SHELL", command.strip()) if array is None else ("CMD", *array)
    return replace(image, healthcheck=Healthcheck(test=test, **said))


def _check_option(name: str, value: str) -> dict[str, float | int]:
    if name == "retries":
        if not re.fullmatch("[1-9][0-9]{0,5}", value):
            raise _Wrong(f"`{value}` is no number of retries")
        return {name: int(value)}
    if name not in ("interval", "timeout", "start-period", "start-interval"):
        raise _Wrong(f"HEALTHCHECK has no option --{name}")
    return {name.replace("-", "_"): _read(parse_duration, value)}


def _read(reader: Callable[[str], Value], text: str) -> Value:
    """Raises ``_Wrong``."""
    try:
        return reader(text)
    except Unreadable as error:
        raise _Wrong(f"`{text}` {error.reason or f'is not {error.expected}'}") from error


_INSTRUCTIONS: Mapping[str, Callable[[ImageDefaults, str], ImageDefaults]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}


def _command(rest: str) -> tuple[str, ...]:
    """JSON's form is the words themselves, any other a line for the shell."""
    array = _array(rest)
    return (*_SHELL, rest) if array is None else array


def _array(rest: str) -> tuple[str, ...] | None:
    """An array of strings in JSON; None for anything else, which Docker takes as text, too."""
    if not rest.startswith("["):
        return None
    try:
        found = json.loads(rest)
    except ValueError:
        return None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        return None
    return tuple(found)


def _variables(image: ImageDefaults) -> dict[str, str]:
    return dict(each.partition("=")[::2] for each in image.env)


def _one(rest: str, image: ImageDefaults) -> str:
    return _unquoted(rest, _variables(image))


def _values(rest: str, image: ImageDefaults) -> list[str]:
    variables = _variables(image)
    return [_unquoted(word, variables) for word in _split(rest)]


def _pairs(rest: str, variables: Mapping[str, str]) -> dict[str, str]:
    """``a=1 b="2 3"``, or the older ``a 1 and all the rest``."""
    words = _split(rest)
    if "=" not in words[0]:
        name, _, value = rest.partition(" ")
        if not value.strip():
            raise _Wrong(f"`{name}` has no value; write it like {name}=value")
        return {name: _unquoted(value.strip(), variables)}
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise _Wrong(f"`{word}` is no name=value; a value with spaces stands in quotes")
        found[_unquoted(name, variables)] = _unquoted(value, variables)
    return found


@dataclass(slots=True)
class _Quotes:
    """Whether a character stands in quotes, and whether it is escaped."""

    quote: str = ""
    escaped: bool = False

    def take(self, character: str) -> None:
        if self.escaped:
            self.escaped = False
        elif character == "\\" and self.quote != "'":
            self.escaped = True
        elif character == self.quote:
            self.quote = ""
        elif not self.quote and character in "\"'":
            self.quote = character

    @property
    def plain(self) -> bool:
        return not self.quote and not self.escaped


def _split(rest: str) -> list[str]:
    """Words as written: spaces in quotes, or after a backslash, part none."""
    words, word, quotes = [], "", _Quotes()
    for character in rest:
        if character.isspace() and quotes.plain:
            words.append(word)
            word = ""
            continue
        quotes.take(character)
        word += character
    if quotes.quote:
        raise _Wrong(f"the quote {quotes.quote} is not closed")
    return [each for each in (*words, word) if each]


def _unquoted(word: str, variables: Mapping[str, str]) -> str:
    """A word without its quotes and with variables put in, but not inside single quotes."""
    told, at, quote = "", 0, ""
    while at < len(word):
        character = word[at]
        if character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        elif character == "\\" and quote != "'" and at + 1 < len(word):
            at += 1
            # In double quotes a backslash is one, but before what would mean something there.
            told += word[at] if not quote or word[at] in '"$\\' else f"\\{word[at]}"
        elif character == "$" and quote != "'" and (found := _VARIABLE.match(word, at)):
            told += _put_in(found, variables)
            at = found.end() - 1
        else:
            told += character
        at += 1
    return told


def _put_in(found: "re.Match[str]", variables: Mapping[str, str]) -> str:
    value = variables.get(found["plain"] or found["braced"], "")
    match found["sign"]:
        case "-":
            return value or str(found["word"])
        case "+":
            return str(found["word"]) if value else ""
        case _:
            return value
