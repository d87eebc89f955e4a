"""The variables of a spec (`.env` below the caller's environment) and `env_file`s of containers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from specs import envfile
from specs.files import FileRefused, Files, is_below
from specs.model.container import Container
from specs.model.env_file import EnvFile
from specs.nodes import List, Map, Node, Text, nearest_place
from specs.problems import Problem, problem_at, quoted
from specs.source import Span

DOTENV: Final = ".env"


@dataclass(slots=True)
class Environment:
    """Reads environment files for one project; each file once."""

    files: Files
    directory: str
    shown: str  # the directory as the user named it
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    _read: dict[str, dict[str, str]] = field(default_factory=dict)

    def read_dotenv(self) -> None:
        """Set `variables`: the caller's own, and what `.env` adds to them."""
        self.variables = dict(self.environ)
        try:
            values = self._values(DOTENV)
        except FileRefused as refusal:
            if not refusal.missing:
                span = Span(self._shown(DOTENV), refusal.line, refusal.column)
                self.problems.append(Problem(text=f"the file {refusal.reason}", span=span))
            return
        self.variables = {**values, **self.environ}

    def filled(self, container: Container, name: str, node: Map) -> Container:
        """The container with its environment files below what `environment` itself says."""
        values: dict[str, str] = {}
        for number, file in enumerate(container.env_file):
            values |= self._of_file(file, name, nearest_place(node, ("env_file", number)))
        secret = frozenset(values.keys() - container.environment.keys()) | _foreign(node)
        environment = {**values, **container.environment}
        return container.with_environment(environment, secret & environment.keys())

    def _of_file(self, file: EnvFile, name: str, place: Node | None) -> dict[str, str]:
        where = f"container {quoted(name)}: {quoted(file.path)}"
        if not is_below(os.path.join(self.directory, file.path), self.directory):
            hint = "copy it into the project's folder"
            self.problems.append(
                problem_at(place, f"{where} is outside of the project's folder", hint=hint)
            )
            return {}
        try:
            return self._values(file.path)
        except FileRefused as refusal:
            if file.required or not refusal.missing:
                self.problems.append(_refused(refusal, where, place))
            return {}

    def _values(self, path: str) -> dict[str, str]:
        """What a file sets; its own problems are told the first time."""
        whole = os.path.normpath(os.path.join(self.directory, path))
        if whole not in self._read:
            found = envfile.parse(self.files.text(whole), self._shown(path), self.variables)
            self.problems += found.problems
            self.warnings += [unset_warning(n, span) for n, span in found.unset.items()]
            own = ((n, self.environ.get(n) if v is None else v) for n, v in found.values.items())
            self._read[whole] = {n: v for n, v in own if v is not None}
        return self._read[whole]

    def _shown(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.shown, path))


def _refused(refusal: FileRefused, where: str, place: Node | None) -> Problem:
    if refusal.missing:
        hint = "write `{path: …, required: false}` if it need not be there"
        return problem_at(place, f"{where} {refusal.reason}", hint=hint)
    at = f" (line {refusal.line})" if refusal.line else ""
    return problem_at(place, f"{where} {refusal.reason}{at}")


def unset_warning(name: str, span: Span, width: int = 1) -> Problem:
    """A variable that nobody sets is empty text; Compose warns, too."""
    hint = f"set it, or give it a default: `${{{name}:-…}}`"
    text = f"{quoted(name)} is not set, so it is read as empty text"
    return Problem(text=text, span=span, width=width, hint=hint)


def _foreign(node: Map) -> frozenset[str]:
    """Names of `environment` whose values hold something of the caller's, or are passed on."""
    environment = node.get("environment")
    if isinstance(environment, Map):
        return frozenset(str(k) for k, v in environment.items() if v.null or v.foreign)
    items = environment if isinstance(environment, List) else []
    return frozenset(_name(item) for item in items if item.foreign or "=" not in item)


def _name(item: Text) -> str:
    return str(item).partition("=")[0]
