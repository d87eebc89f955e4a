r"""``--format`` in Go's template words, as far as Docker's scripts use them on listings.

Understood are text, ``{{.Name}}`` and ``{{.Name.Inner}}``, literals, and the functions ``json
join upper lower title truncate split println pad`` in calls and pipelines, as in
``{{.Labels | json}}``; a leading ``table`` prints a header. What is not understood is an error
that names it, never silently empty.

https://docs.docker.com/engine/cli/formatting/
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from runtime.errors import Fault

_ACTION = re.compile(r"\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'\s*("(?:\\.|[^"\\])*"|`[^`]*`|\||-?\d+|\.[\w.]*|\w+|\S)')

Values = Mapping[str, object]
Part = str | tuple[tuple[str, ...], ...]


class BadTemplate(Fault):
    """A ``--format`` that cannot be carried out."""

    exit_code = 64

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(f"--format: {problem}", hint=hint)


class Template:
    """A parsed template; raises ``BadTemplate`` for words that are not understood."""

    def __init__(self, text: str) -> None:
        self.table = text == "table" or text.startswith("table ")
        body = text[len("table ") :] if self.table else text
        # The shell hands over `\t` as two characters; Docker reads them as one.
        self.parts = list(_parts(body.replace("\\t", "\t").replace("\\n", "\n")))

    def render(self, values: Values) -> str:
        """The text for one row."""
        return "".join(p if isinstance(p, str) else _text(_pipeline(p, values)) for p in self.parts)

    def header(self, titles: Mapping[str, str]) -> str:
        """The header for ``table``: each field's title where the field stands."""
        return "".join(p if isinstance(p, str) else _title(p, titles) for p in self.parts)


def _parts(body: str) -> Iterable[Part]:
    """Cut into text and actions; ``{{-`` and ``-}}`` take the white space beside them."""
    at, trim = 0, False
    for match in _ACTION.finditer(body):
        text = body[at : match.start()]
        text = text.lstrip() if trim else text
        yield text.rstrip() if match[1] else text
        if not match[2].startswith("/*"):
            yield _commands(match[2])
        at, trim = match.end(), bool(match[3])
    rest = body[at:]
    if "{{" in rest:
        raise BadTemplate(f"`{rest.strip()}` has no closing }}}}")
    yield rest.lstrip() if trim else rest


def _commands(action: str) -> tuple[tuple[str, ...], ...]:
    """The commands of a pipeline, each a tuple of words."""
    commands: list[list[str]] = [[]]
    for token in _TOKEN.findall(action):
        if token == "|":
            commands.append([])
        else:
            commands[-1].append(token)
    for command in commands:
        _check(command, action)
    return tuple(tuple(command) for command in commands)


def _check(command: Sequence[str], action: str) -> None:
    if not command:
        raise BadTemplate(f"an empty action in {{{{{action}}}}}")
    for word in command:
        if word[0].isalpha() and word not in _FUNCTIONS and word not in ("true", "false"):
            raise BadTemplate(
                f"`{word}` is not understood",
                f"known functions: {' '.join(sorted(_FUNCTIONS))}; fields begin with a dot",
            )
        if not (word[0].isalnum() or word[0] in '."`-'):
            raise BadTemplate(f"`{word}` is not understood in {{{{{action}}}}}")


def _pipeline(commands: Sequence[Sequence[str]], values: Values) -> object:
    result: object = None
    for number, (name, *words) in enumerate(commands):
        extra = [result] if number else []
        if name in _FUNCTIONS:
            result = _call(name, [*(_operand(word, values) for word in words), *extra])
        elif words or extra:
            raise BadTemplate(f"`{name}` takes no arguments")
        else:
            result = _operand(name, values)
    return result


def _operand(word: str, values: Values) -> object:
    if word.startswith("."):
        return _field(word, values)
    if word.startswith("`"):
        return word[1:-1]
    if word.startswith('"'):
        return json.loads(word)
    return word == "true" if word in ("true", "false") else int(word)


def _field(path: str, values: Values) -> object:
    found: object = values
    for name in path.strip(".").split(".") if path != "." else ():
        if not isinstance(found, Mapping) or name not in found:
            known = sorted(found) if isinstance(found, Mapping) else []
            raise BadTemplate(
                f"there is no field {path}",
                f"fields: {' '.join(f'.{each}' for each in known)}" if known else "",
            )
        found = found[name]
    return found


def _call(name: str, arguments: Sequence[object]) -> object:
    try:
        return _FUNCTIONS[name](*arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadTemplate(f"{name} cannot take these arguments") from error


def _text(value: object) -> str:
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(map(_text, value))}]"
    return str(value)


def _title(commands: Sequence[Sequence[str]], titles: Mapping[str, str]) -> str:
    fields = [word for command in commands for word in command if word.startswith(".")]
    return titles.get(fields[0].strip("."), fields[0].strip(".").upper()) if fields else ""


def _pad(value: object, before: int, after: int) -> str:
    text = _text(value)
    return " " * before + text + " " * after if text else text


_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "json": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    "join": lambda parts, separator: separator.join(parts),
    "split": lambda text, separator: text.split(separator),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text[:1].upper() + text[1:],
    "truncate": lambda text, length: text[:length],
    "println": lambda *values: " ".join(map(_text, values)) + "\n",
    "pad": _pad,
}
