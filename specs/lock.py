"""The lock file: what every reference to a registry meant when somebody last looked.

It lies beside its spec (`trueup.lock` beside `trueup.yaml`) and goes with it into version
control, so it is sorted, and one reference is one block of lines.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from specs import document
from specs.fields import is_null
from specs.files import FileRefused, Files, check_printable
from specs.naming import main_file
from specs.nodes import Map, Node, Text
from specs.problems import Problem, SpecErrors, problem_at, quoted
from specs.refusals import unknown_word, wrong
from specs.source import Source, Span

_HEAD: Final = "# Written by `trueup lock`: what image references mean. Keep it with the spec.\n"
_VERSION: Final = "1"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DIGEST_RULE: Final = "a digest: sha256: and 64 hexadecimal digits"
_REMAKE: Final = "take the file from version control again, or remove it and run `trueup lock`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What a reference means. `tag` was taken in place of the one that is written ("": none);
    `platforms` leads from linux/amd64 and the like to the digests of their images."""

    digest: str
    tag: str = ""
    platforms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock file: its path as users name it, and pins by reference in its short form."""

    path: str
    pins: Mapping[str, Pin] = field(default_factory=dict)


def lock_path(spec: str) -> str:
    """Where the lock file of a spec lies, or of the spec in a folder, as the user would name it."""
    return os.path.splitext(main_file(spec))[0] + ".lock"


def read_lock(path: str) -> Lock | None:
    """Read the file; None when there is none. Raises `SpecErrors` with all that is wrong."""
    source = Source(path, "")
    try:
        source = Source(path, Files().text(os.path.abspath(path)))
        check_printable(source.text)
    except FileRefused as refusal:
        if refusal.missing:
            return None
        span = Span(path, refusal.line, refusal.column)
        problem = Problem(text=f"the file {refusal.reason}", span=span, hint=_REMAKE)
        raise SpecErrors([problem]) from refusal
    read = document.read(source)
    # Nobody writes it by hand: how YAML is written is of no help here.
    reader = _Reader([replace(each, hint=_REMAKE) for each in read.problems])
    pins = reader.pins(read.root)
    if reader.problems:
        raise SpecErrors([_told(each, source) for each in reader.problems])
    return Lock(path=path, pins=pins)


def _told(problem: Problem, source: Source) -> Problem:
    return replace(
        problem,
        excerpt=source.excerpt(problem.span, problem.width) if problem.span else "",
        other_excerpt=source.excerpt(problem.other, problem.width) if problem.other else "",
        hint=problem.hint or _REMAKE,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Nodes -> pins; whatever is wrong is added to the problems."""

    problems: list[Problem]

    def pins(self, root: Node | None) -> dict[str, Pin]:
        if root is None or is_null(root):
            return {}
        top = self._map(root, ("version", "images"), "the lock file")
        version = top.get("version")
        if version is not None and version != _VERSION:
            text = f"the lock file has version {quoted(str(version))}, and this trueup knows 1"
            hint = "it was written by a newer trueup; use that one"
            self.problems.append(problem_at(version, text, hint=hint))
            return {}
        images = self._map(top["images"], None, "`images`") if "images" in top else {}
        found = {str(name): self._pin(node) for name, node in images.items()}
        return {name: pin for name, pin in found.items() if pin is not None}

    def _pin(self, node: Node) -> Pin | None:
        fields = self._map(node, ("tag", "digest", "platforms"), "an image of the lock file")
        platforms = fields.get("platforms")
        each_platform = {} if platforms is None else self._map(platforms, None, "`platforms`")
        if "digest" not in fields:
            self.problems.append(problem_at(node, "it has no `digest`"))
            return None
        return Pin(
            digest=self._digest(fields["digest"]),
            tag=self._text(fields["tag"], "a tag") if "tag" in fields else "",
            platforms={str(name): self._digest(each) for name, each in each_platform.items()},
        )

    def _map(self, node: Node, keys: tuple[str, ...] | None, what: str) -> Mapping[str, Node]:
        """The node as a map with only these keys; None: with any."""
        if not isinstance(node, Map):
            self.problems.append(wrong(node, f"a map: {what}"))
            return {}
        unknown = [each for each in node.keys_at if keys is not None and each not in keys]
        self.problems.extend(unknown_word(node.keys_at[each], keys or (), what) for each in unknown)
        return node

    def _digest(self, node: Node) -> str:
        text = self._text(node, _DIGEST_RULE)
        if text and not _DIGEST.fullmatch(text):
            problem = problem_at(node, f"{quoted(text)} is no digest", expected=_DIGEST_RULE)
            self.problems.append(problem)
        return text

    def _text(self, node: Node, expected: str) -> str:
        if not isinstance(node, Text) or node.null:
            self.problems.append(wrong(node, expected))
            return ""
        return str(node)


def render(lock: Lock) -> str:
    """The file's content; the same pins give the same bytes."""
    lines = [_HEAD, f"version: {_VERSION}\n"]
    if lock.pins:
        lines.append("images:\n")
    for name, pin in sorted(lock.pins.items()):
        lines.append(f'  "{name}":\n')
        if pin.tag:
            lines.append(f'    tag: "{pin.tag}"\n')
        lines.append(f"    digest: {pin.digest}\n")
        if pin.platforms:
            lines.append("    platforms:\n")
        lines += [f"      {each}: {digest}\n" for each, digest in sorted(pin.platforms.items())]
    return "".join(lines)
