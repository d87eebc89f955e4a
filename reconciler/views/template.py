r"""``--format`` in Go's template words, as far as Docker's scripts use them.

Understood are text, ``{{.Name}}`` and ``{{.Name.Inner}}``, literals, ``{{range}}`` (also with
``$key, $value :=``), ``{{if}}``, ``{{else}}``, ``{{end}}``, and the functions ``json join upper
lower title truncate split println pad index len eq ne not and or`` in calls and pipelines, as in
``{{.Labels | json}}`` and ``{{(index .Ports 0).Port}}``; a leading ``table`` prints a header. What
is not understood is an error that names it, never silently empty.

https://docs.docker.com/engine/cli/formatting/
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.errors import Fault

_ACTION = re.compile(r"\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'\s*("(?:\\.|[^"\\])*"|`[^`]*`|\||-?\d+|\)[.\w]*|[.$][\w.]*|\w+|\S)')
_BLOCK = re.compile(r"(range|if|else|end)\b\s*(.*)", re.DOTALL)
_VARIABLES = re.compile(r"(\$\w+)(?:\s*,\s*(\$\w+))?\s*:=\s*(.*)", re.DOTALL)

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A pipeline in parentheses; ``path`` is the field of its value that is meant: ``.`` for all,
    ``.HostPort`` in ``(index .Ports 0).HostPort``."""

    pipeline: "Pipeline"
    path: str


Word = str | Inner
Pipeline = tuple[tuple[Word, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """``{{range}}`` or ``{{if}}``; ``names`` are the variables of a range."""

    kind: str
    over: Pipeline
    names: tuple[str, ...]
    body: "tuple[Part, ...]"
    otherwise: "tuple[Part, ...]"


Part = str | Pipeline | Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What ``.`` and the variables stand for."""

    dot: object
    variables: Mapping[str, object]


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
        words = _words(body.replace("\\t", "\t").replace("\\n", "\n"))
        self.parts, closing = _parts(words)
        if closing:
            raise BadTemplate(f"`{closing}` closes nothing")

    def render(self, values: Values) -> str:
        """The text for one row."""
        return _render(self.parts, Scope(dot=values, variables={"$": values}))

    def header(self, titles: Mapping[str, str]) -> str:
        """The header for ``table``: each field's title where the field stands."""
        return "".join(
            "" if isinstance(p, Block) else p if isinstance(p, str) else _title(p, titles)
            for p in self.parts
        )


@dataclass(frozen=True, slots=True)
class _Action:
    """The inside of ``{{ }}``."""

    text: str


def _words(body: str) -> Iterator[str | _Action]:
    """Cut into text and actions; ``{{-`` and ``-}}`` take the white space beside them."""
    at, trim = 0, False
    for match in _ACTION.finditer(body):
        text = body[at : match.start()]
        text = text.lstrip() if trim else text
        yield text.rstrip() if match[1] else text
        if not match[2].startswith("/*"):
            yield _Action(match[2])
        at, trim = match.end(), bool(match[3])
    rest = body[at:]
    if "{{" in rest:
        raise BadTemplate(f"`{rest.strip()}` has no closing }}}}")
    yield rest.lstrip() if trim else rest


def _parts(words: Iterator[str | _Action]) -> tuple[tuple[Part, ...], str]:
    """Everything up to the word that closes the block, and that word: ``end``, ``else`` or ""."""
    parts: list[Part] = []
    for word in words:
        block = _BLOCK.fullmatch(word.text) if isinstance(word, _Action) else None
        if block is None:
            parts.append(word if isinstance(word, str) else _commands(word.text))
        elif block[1] in ("end", "else"):
            if block[2]:
                raise BadTemplate(f"`{block[0]}` is not understood")
            return tuple(parts), block[1]
        else:
            parts.append(_block(block[1], block[2], words))
    return tuple(parts), ""


def _block(kind: str, rest: str, words: Iterator[str | _Action]) -> Block:
    named = _VARIABLES.fullmatch(rest) if kind == "range" else None
    names = tuple(name for name in (named[1], named[2]) if name) if named else ()
    over = _commands(named[3] if named else rest)
    body, closing = _parts(words)
    otherwise: tuple[Part, ...] = ()
    if closing == "else":
        otherwise, closing = _parts(words)
    if closing != "end":
        raise BadTemplate(f"{{{{{kind}}}}} has no {{{{end}}}}")
    return Block(kind=kind, over=over, names=names, body=body, otherwise=otherwise)


def _render(parts: Sequence[Part], scope: Scope) -> str:
    return "".join(
        part
        if isinstance(part, str)
        else _render_block(part, scope)
        if isinstance(part, Block)
        else _text(_pipeline(part, scope))
        for part in parts
    )


def _render_block(block: Block, scope: Scope) -> str:
    value = _pipeline(block.over, scope)
    if not value:
        return _render(block.otherwise, scope)
    if block.kind == "if":
        return _render(block.body, scope)
    if isinstance(value, Mapping):
        pairs: list[tuple[object, object]] = sorted(value.items())
    elif isinstance(value, (list, tuple)):
        pairs = list(enumerate(value))
    else:
        raise BadTemplate(f"{{{{range}}}} cannot go through {_text(value)}")
    return "".join(_render(block.body, _inner(block, scope, *pair)) for pair in pairs)


def _inner(block: Block, scope: Scope, key: object, value: object) -> Scope:
    """One name is the value, two are key and value, as in Go."""
    told = (value,) if len(block.names) == 1 else (key, value)
    named = dict(zip(block.names, told, strict=False))
    return Scope(dot=value, variables={**scope.variables, **named})


def _commands(action: str) -> Pipeline:
    """The commands of a pipeline, each a tuple of words."""
    tokens = iter(_TOKEN.findall(action))
    commands, closing = _pipeline_of(tokens, action)
    if closing:
        raise BadTemplate(f"`)` closes nothing in {{{{{action}}}}}")
    return commands


def _pipeline_of(tokens: Iterator[str], action: str) -> tuple[Pipeline, str]:
    """Everything up to the parenthesis that closes it, and that one with what it leads to."""
    commands: list[list[Word]] = [[]]
    closing = ""
    for token in tokens:
        if token[0] == ")":
            closing = token
            break
        if token == "|":
            commands.append([])
        else:
            commands[-1].append(_inner_of(tokens, action) if token == "(" else token)
    for command in commands:
        _check(command, action)
    return tuple(tuple(command) for command in commands), closing


def _inner_of(tokens: Iterator[str], action: str) -> Inner:
    pipeline, closing = _pipeline_of(tokens, action)
    if not closing:
        raise BadTemplate(f"`(` is not closed in {{{{{action}}}}}")
    return Inner(pipeline=pipeline, path=closing[1:] or ".")


def _check(command: Sequence[Word], action: str) -> None:
    if not command:
        raise BadTemplate(f"an empty action in {{{{{action}}}}}")
    for word in command:
        if isinstance(word, Inner):
            continue
        if word[0].isalpha() and word not in _FUNCTIONS and word not in ("true", "false"):
            raise BadTemplate(
                f"`{word}` is not understood",
                f"known functions: {' '.join(sorted(_FUNCTIONS))}; fields begin with a dot",
            )
        if not (word[0].isalnum() or word[0] in '."`-$'):
            raise BadTemplate(f"`{word}` is not understood in {{{{{action}}}}}")


def _pipeline(commands: Pipeline, scope: Scope) -> object:
    result: object = None
    for number, (name, *words) in enumerate(commands):
        extra = [result] if number else []
        if isinstance(name, str) and name in _FUNCTIONS:
            result = _call(name, [*(_operand(word, scope) for word in words), *extra])
        elif words or extra:
            raise BadTemplate(f"`{_shown(name)}` takes no arguments")
        else:
            result = _operand(name, scope)
    return result


def _shown(word: Word) -> str:
    return word if isinstance(word, str) else "(…)"


def _operand(word: Word, scope: Scope) -> object:
    if isinstance(word, Inner):
        return _field(word.path, _pipeline(word.pipeline, scope))
    if word.startswith("."):
        return _field(word, scope.dot)
    if word.startswith("$"):
        name, _, path = word.partition(".")
        if name not in scope.variables:
            raise BadTemplate(f"there is no variable {name}")
        return _field(f".{path}", scope.variables[name])
    if word.startswith("`"):
        return word[1:-1]
    if word.startswith('"'):
        return json.loads(word)
    return word == "true" if word in ("true", "false") else int(word)


def _field(path: str, found: object) -> object:
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
    except (TypeError, ValueError, AttributeError, LookupError) as error:
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


def _title(commands: Pipeline, titles: Mapping[str, str]) -> str:
    fields = list(_fields(commands))
    return titles.get(fields[0].strip("."), fields[0].strip(".").upper()) if fields else ""


def _fields(commands: Pipeline) -> Iterator[str]:
    for word in (word for command in commands for word in command):
        if isinstance(word, Inner):
            yield from _fields(word.pipeline)
        elif word.startswith("."):
            yield word


def _pad(value: object, before: int, after: int) -> str:
    text = _text(value)
    return " " * before + text + " " * after if text else text


def _index(value: Any, *keys: object) -> object:
    """As in Go nothing where a map lacks a text (a label), an error beyond the end of a list."""
    for key in keys:
        missing = isinstance(value, Mapping) and key not in value
        value = "" if missing else value[key]
    return value


def _chosen(values: Sequence[object], *, truth: bool) -> object:
    """The first that is true, or that is not, else the last."""
    return next((value for value in values if bool(value) is truth), values[-1])


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
    "index": _index,
    "len": len,
    "eq": lambda one, *others: one in others,
    "ne": lambda one, other: one != other,
    "not": lambda value: not value,
    "and": lambda *values: _chosen(values, truth=False),
    "or": lambda *values: _chosen(values, truth=True),
}
