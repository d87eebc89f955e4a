"""A folder or file -> `Project`.

    files -> documents -> merged -> variables -> objects -> environment files -> crosschecks

Every step adds to one list of problems and goes on with what is left, so that all come at once. An
empty or vanished spec is broken, never a project without containers.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeGuard

from specs import document
from specs.crosschecks import crosscheck, items_of
from specs.document import Document
from specs.environment import Environment, unset_warning
from specs.fields import Context
from specs.files import FileRefused, Files, check_printable
from specs.interpolate import Interpolation
from specs.masking import hide_secrets
from specs.merge import SECTIONS, merge
from specs.model.container import Container
from specs.model.mount import BindMount, Mount
from specs.model.project import Project
from specs.model.security import UNCONFINED
from specs.naming import NAME_PATTERN, NAME_RULE, all_files, default_name, main_file
from specs.nodes import List, Map, Node, map_at, map_like, nearest_place
from specs.notations import name_of
from specs.objects import Objects, read_objects
from specs.problems import MOST_PROBLEMS, Problem, SpecErrors, in_order, problem_at, quoted
from specs.refusals import unreadable, wrong
from specs.remarks import remarks
from specs.scalars import Unreadable
from specs.source import Source, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A project that can be carried out, and what its author may want to know all the same."""

    project: Project
    warnings: tuple[Problem, ...] = ()


def load(path: str | os.PathLike[str], environ: Mapping[str, str]) -> Loaded:
    """Read the project in a folder, or in a file; `environ` fills in its variables.

    Raises `SpecErrors` with all that is wrong. Reads, and never writes.
    """
    loading = _Loading(os.fspath(path), environ)
    project = loading.run()
    if loading.problems or project is None:
        raise SpecErrors(loading.shown(loading.problems))
    return Loaded(project=project, warnings=tuple(loading.shown(loading.warnings)))


@dataclass(slots=True)
class _Loading:
    """One run of `load`: the files that were read and what was found on the way."""

    path: str
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    files: Files = field(default_factory=Files)
    sources: dict[str, Source] = field(default_factory=dict)

    def run(self) -> Project | None:
        """The project, as far as it can be read; None when nothing of it can."""
        main = main_file(self.path)
        directory = os.path.dirname(os.path.abspath(main))
        environment = self._environment(directory, os.path.dirname(main))
        documents = self._documents(main)
        root = merge(documents, self.problems)
        interpolation = self._fill(root, environment.variables)
        context = Context(directory=directory, environ=environment.variables)
        objects = read_objects(root, context, self.problems)
        self._fill_environments(objects, root, environment)
        # A file that cannot be read may declare what others name.
        if len(documents) == len(self.sources):
            self._check_together(root, objects, main)
        self._put_first(interpolation)
        return self._project(root, objects, main)

    def _put_first(self, filled: Interpolation) -> None:
        """A value whose variables cannot be filled in has no other problem worth telling."""
        others = (each for each in self.problems if each.span not in filled.failed)
        self.problems[:] = [*filled.problems, *others]

    def _environment(self, directory: str, shown: str) -> Environment:
        environment = Environment(
            self.files, directory, shown, self.environ, self.problems, self.warnings
        )
        environment.read_dotenv()
        return environment

    def _documents(self, main: str) -> list[tuple[str, Node | None]]:
        """File and root of every file that is YAML at all."""
        found = ((name, self._document(name)) for name in all_files(main))
        return [
            (name, read.root) for name, read in found if read.root is not None or not read.problems
        ]

    def _document(self, name: str) -> Document:
        source = self.sources[name] = Source(name, "")
        try:
            source = self.sources[name] = Source(name, self.files.text(os.path.abspath(name)))
            check_printable(source.text)
        except FileRefused as refusal:
            span = Span(name, refusal.line, refusal.column)
            hint = "name a spec, or a folder that holds a `trueup.yaml`" if refusal.missing else ""
            problem = Problem(text=f"the file {refusal.reason}", span=span, hint=hint)
            return self._told(Document(problems=[problem]))
        read = document.read(source)
        hide_secrets(source, read.root)
        return self._told(read)

    def _told(self, read: Document) -> Document:
        self.problems += read.problems
        return read

    def _fill(self, root: Map, variables: Mapping[str, str]) -> Interpolation:
        interpolation = Interpolation(variables)
        interpolation.fill(root)
        for name, node in interpolation.unset.items():
            self.warnings.append(unset_warning(name, node.span, node.width))
        return interpolation

    def _fill_environments(self, objects: Objects, root: Map, environment: Environment) -> None:
        for name, container in objects.containers.items():
            node = root["containers"][name]
            objects.containers[name] = environment.filled(container, name, node)
        for name, (node, container) in objects.salvaged.items():
            environment.filled(container, name, node)  # for what is wrong with the files

    def _check_together(self, root: Map, objects: Objects, main: str) -> None:
        whole, containers = _with_salvaged(root, objects)
        self.problems += crosscheck(whole, containers, objects.networks)
        self.problems += _missing_files(root, objects)
        self.warnings += _missing_sources(root, objects)
        said = remarks(root, objects.containers, objects.networks)
        self.warnings += islice(said, MOST_PROBLEMS + 1)
        if not any(root.get(section) for section in SECTIONS) and not self.problems:
            hint = "to remove everything run `trueup down`"
            text = "nothing is declared here, so the spec is taken as broken"
            self.problems.append(Problem(text=text, span=Span(main, 0, 0), hint=hint))

    def _project(self, root: Map, objects: Objects, main: str) -> Project | None:
        directory = os.path.dirname(os.path.abspath(main))
        name = self._name(root, main)
        if self.problems:
            return None
        sections = {section: getattr(objects, section) for section in SECTIONS}
        files = tuple(self.files.taken)
        search = objects.search
        project = Project(
            name=name, directory=directory, files=files, search_registries=search, **sections
        )
        return project.placed(root)

    def _name(self, root: Map, main: str) -> str:
        """What `project:` says, else the folder's name made valid."""
        declared = root.get("project")
        if isinstance(declared, (Map, List)):
            self.problems.append(wrong(declared, NAME_RULE))
        elif declared is not None and not declared.null:
            try:
                return str(name_of("a project", NAME_PATTERN, NAME_RULE)(str(declared)))
            except Unreadable as error:
                self.problems.append(unreadable(declared, error))
        directory = os.path.dirname(os.path.abspath(main))
        return default_name(directory) or self._nameless(directory, main)

    def _nameless(self, directory: str, main: str) -> str:
        text = f"the folder {quoted(directory)} gives no name to the project"
        hint = "write `project: NAME` into the spec"
        self.problems.append(Problem(text=text, span=Span(main, 0, 0), hint=hint))
        return ""

    def shown(self, problems: list[Problem]) -> list[Problem]:
        """In order, with the lines that they speak of; of very many only the first."""
        ordered = in_order(problems)
        first = [self._with_excerpt(each) for each in ordered[:MOST_PROBLEMS]]
        if len(ordered) <= MOST_PROBLEMS:
            return first
        text = f"there are more problems than these {MOST_PROBLEMS}"
        last = ordered[MOST_PROBLEMS].span
        return [*first, Problem(text=text, span=Span(last.file, 0, 0) if last else None)]

    def _with_excerpt(self, problem: Problem) -> Problem:
        return replace(
            problem,
            excerpt=self._excerpt(problem.span, problem.width),
            other_excerpt=self._excerpt(problem.other, problem.width),
        )

    def _excerpt(self, span: Span | None, width: int) -> str:
        source = self.sources.get(span.file) if span else None
        return source.excerpt(span, width) if source and span else ""


def _with_salvaged(root: Map, objects: Objects) -> tuple[Map, dict[str, Container]]:
    """The containers, sound or in part, and the tree that their values come from."""
    nodes = map_like(root.get("containers", map_at(root.span)), root.get("containers", {}))
    nodes.update({name: node for name, (node, _) in objects.salvaged.items()})
    whole = map_like(root, root)
    whole["containers"] = nodes
    parts = {name: container for name, (_, container) in objects.salvaged.items()}
    return whole, {**objects.containers, **parts}


def _missing_files(root: Map, objects: Objects) -> Iterator[Problem]:
    """Archives, root file systems and profiles of system calls that are not there."""
    for name, image in objects.images.items():
        for key, path in (("archive", image.archive), ("rootfs", image.rootfs)):
            if path is not None and not os.path.isfile(path):
                lack = f"{_lack(path)} {quoted(path)}"
                yield problem_at(root["images"][name][key], f"image {quoted(name)}: {lack}")
    for name, container in objects.containers.items():
        path = container.security_opt.seccomp
        if path is not None and path != UNCONFINED and not os.path.isfile(path):
            text = f"container {quoted(name)}: {_lack(path)} {quoted(path)}"
            place = nearest_place(root, ("containers", name, "security_opt"))
            yield problem_at(place, text)


def _lack(path: str | os.PathLike[str]) -> str:
    return "there is a folder, not a file," if os.path.isdir(path) else "there is no file"


def _is_missing(mount: Mount) -> TypeGuard[BindMount]:
    return (
        isinstance(mount, BindMount)
        and not mount.create_source
        and not os.path.exists(mount.source)
    )


def _missing_sources(root: Map, objects: Objects) -> Iterator[Problem]:
    """Paths of the host that nothing is at: a mistake, unless made before `apply`."""
    for name, container in objects.containers.items():
        for item, mount in zip(items_of(root, name, "volumes"), container.volumes, strict=True):
            if _is_missing(mount):
                text = f"container {quoted(name)}: there is no {quoted(mount.source)} on this host"
                hint = "make it before `apply`; unlike Docker, trueup makes no folder in its place"
                yield problem_at(item, text, hint=hint)
