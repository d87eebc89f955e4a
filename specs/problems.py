"""What is wrong with a spec, said so that a newcomer can act on it.

Each reader makes `Problem`s and goes on; `load` gives them their excerpts and raises them all at
once in one `SpecErrors`. Only `render` decides how they look.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from specs.source import Span, escaped

_LONGEST_WORD = 80
MOST_PROBLEMS = 100  # more are not read, and a file of nothing but faults is soon answered


class Placed(Protocol):
    """A node that knows where it stands and how many columns it takes."""

    @property
    def span(self) -> Span | None: ...
    @property
    def width(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault: where, what, what would have been right; `other` is the second place it names."""

    text: str
    span: Span | None = None
    width: int = 1
    expected: str = ""
    nearest: str = ""
    hint: str = ""
    other: Span | None = None
    other_text: str = ""
    excerpt: str = ""
    other_excerpt: str = ""


class SpecErrors(Exception):
    """A spec that cannot be carried out; nothing of it must be used.

    `problems` are in the order of the files, lines and columns.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = in_order(problems)
        super().__init__(render(self.problems))

    def __str__(self) -> str:
        return render(self.problems)


def problem_at(
    node: Placed | None, text: str, *, expected: str = "", nearest: str = "", hint: str = ""
) -> Problem:
    """A problem with this node's place."""
    return Problem(
        text=text,
        span=None if node is None else node.span,
        width=1 if node is None else node.width,
        expected=expected,
        nearest=nearest,
        hint=hint,
    )


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By line and column within each file, the files in the order in which they first occur."""
    found = list(dict.fromkeys(problems))
    files = {name: number for number, name in enumerate(dict.fromkeys(_file(p) for p in found))}
    return tuple(sorted(found, key=lambda p: (files[_file(p)], *_place(p))))


def _file(problem: Problem) -> str:
    return problem.span.file if problem.span else ""


def _place(problem: Problem) -> tuple[int, int]:
    return (problem.span.line, problem.span.column) if problem.span else (0, 0)


def render(problems: Sequence[Problem]) -> str:
    """All problems as text for a terminal, a blank line between two, safe to print."""
    return "\n".join(_render_one(problem) for problem in problems)


def _render_one(problem: Problem) -> str:
    place = f"{escaped(problem.span.full)}: " if problem.span else ""
    lines = [place + escaped(problem.text), problem.excerpt]
    if problem.expected:
        lines.append(f"  expected: {escaped(problem.expected)}")
    if problem.nearest:
        lines.append(f"  did you mean `{escaped(problem.nearest)}`?")
    if problem.other:
        lines += [f"  {problem.other_text} {escaped(problem.other.full)}:", problem.other_excerpt]
    if problem.hint:
        lines.append(f"  {escaped(problem.hint)}")
    return "".join(f"{line}\n" for line in lines if line)


def quoted(text: str) -> str:
    """A foreign word in backticks, escaped and not longer than a message can bear."""
    word = escaped(text)
    return f"`{word[:_LONGEST_WORD]}…`" if len(word) > _LONGEST_WORD else f"`{word}`"


def nearest_word(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or nothing."""
    import difflib  # only when there is something to complain about

    folded = {_folded(each): each for each in sorted(known)}
    if _folded(word) in folded:
        return folded[_folded(word)]
    longer = [each for each in folded if len(word) > 3 and each.startswith(_folded(word))]
    if len(longer) == 1:  # `net_bind` is the beginning of a word, however much is missing
        return folded[longer[0]]
    close = difflib.get_close_matches(_folded(word)[:100], folded, n=1, cutoff=0.6)
    swapped = (each for each in folded if sorted(each) == sorted(_folded(word)))
    near = close[0] if close else next(swapped, None)  # `bd` for `db` is too short for difflib
    return folded[near] if near else ""


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")
