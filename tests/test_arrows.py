"""The drawing of docs/architecture.md, checked: who imports whom, and which door leads where.

In each folder the parts stand in import order: a part imports itself and what stands above it.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PACKAGES = ("specs", "reconciler", "runtime")
LONGEST_MODULE = 450

# Parts of a folder from the top down; parts on one line may import each other.
ORDER: dict[str, list[list[str]]] = {
    "specs": [
        ["source"],
        ["files"],
        ["problems"],
        ["syntax"],
        ["nodes"],
        ["document"],
        ["naming"],
        ["tree"],
        ["interpolate"],
        ["envfile"],
        ["masking"],
        ["scalars"],
        ["versions"],
        ["tags"],
        ["fields"],
        ["refusals"],
        ["notations"],
        ["translation"],
        ["model"],
        ["objects"],
        ["environment"],
        ["merge"],
        ["neighbours"],
        ["coherence", "remarks"],
        ["crosschecks"],
        ["load", "registries"],
        ["lock", "schema"],
    ],
    "runtime": [
        ["errors", "part"],
        ["reference"],
        ["api"],
        ["asking", "programs", "durable", "at_rest"],
        ["credentials"],
        ["embedded"],
        ["backends"],
    ],
    "runtime.embedded": [
        ["faults"],
        ["paths"],
        ["linux"],
        ["boot"],
        ["ledger"],
        ["cgroups"],
        ["limits"],
        ["registry"],
        ["layers"],
        ["store"],
        ["bundle"],
        ["process"],
        ["streams"],
        ["volumes"],
        ["nft"],
        ["firewall"],
        ["router"],
        ["ports"],
        ["dns"],
        ["network"],
        ["hostfacts", "versions"],
        ["execution"],
        ["health"],
        ["containers"],
        ["images", "registries"],
        ["observe"],
        ["doctor"],
        ["engine"],
    ],
    "runtime.embedded.network": [
        ["subnets", "publishing"],
        ["allocation", "promises"],
        ["kernel"],
        ["services"],
    ],
    "runtime.embedded.containers": [
        ["applied", "sharing"],
        ["etc_files"],
        ["mounting"],
        ["bundles"],
        ["generation", "export"],
    ],
    "runtime.embedded.observe": [
        ["notices", "containers", "events"],
        ["observer"],
    ],
    "reconciler": [
        ["release", "spec", "lookup", "strays", "credentials", "short_names", "dockerfile"],
        ["registries"],
        ["values"],
        ["lock_file"],
        ["resolving"],
        ["desired"],
        ["tag_news"],
        ["reach"],
        ["trees"],
        ["wording"],
        ["compare"],
        ["plan"],
        ["planning"],
        ["records"],
        ["executor"],
        ["passes"],
        ["views"],
        ["loop"],
        ["cli"],
    ],
}

# The engine's folders are narrower than their order: what each may use beside FOUNDATION.
FOUNDATION = {"faults", "paths", "linux", "boot"}
EMBEDDED: dict[str, set[str]] = {
    "registry": set(),
    "layers": set(),
    "store": {"registry", "layers"},
    "bundle": set(),
    "process": {"cgroups"},
    "streams": set(),
    "nft": set(),
    "firewall": {"nft"},
    "router": {"nft"},
    "ports": {"nft", "router"},
    "dns": {"router"},
}

# Packages of the runtime that are no backends: everybody may import from them.
SHARED = {"runtime.credentials"}

# Doors: what only these modules may import or call.
PROCESS_STARTERS = {"runtime.programs", "runtime.embedded.process.on_exit"}
STARTS = re.compile(r"(posix_spawnp?|fork|forkpty|exec[lv]p?e?|spawn[lv]p?e?|system|popen)")
LIBRARIES: dict[str, tuple[str, ...]] = {
    "pydantic": ("specs",),
    "pyroute2": ("runtime.embedded",),
    "requests": ("runtime",),
    "sqlite3": ("runtime.at_rest", "runtime.embedded", "reconciler.records"),
    "watchfiles": ("reconciler.loop", "runtime.embedded"),
    "structlog": ("reconciler",),
    "subprocess": tuple(PROCESS_STARTERS),
    "_posixsubprocess": (),
    "multiprocessing": (),
    "pty": (),
}
VAGUE = {"utils", "util", "common", "helpers", "manager", "misc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One of our source files under its import name, parsed."""

    name: str
    path: Path
    tree: ast.Module

    def imports(self) -> Iterator[tuple[str, int]]:
        """Every module imported anywhere in the file, with the line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from ((target, node.lineno) for target in _targets(node))


def _targets(node: ast.ImportFrom) -> Iterator[str]:
    """`from runtime import api` imports the module runtime.api, not only a name of runtime."""
    for alias in node.names:
        inner = f"{node.module}.{alias.name}"
        yield inner if _is_module(inner) else str(node.module)


def _is_module(name: str) -> bool:
    place = TOP / name.replace(".", "/")
    return place.with_suffix(".py").exists() or place.is_dir()


def _modules() -> list[Module]:
    return [
        Module(name=_name(path), path=path, tree=ast.parse(path.read_text(), str(path)))
        for package in PACKAGES
        for path in sorted((TOP / package).rglob("*.py"))
    ]


def _name(path: Path) -> str:
    words = path.relative_to(TOP).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


MODULES = _modules()


def _report(problems: Iterator[str]) -> None:
    found = sorted(problems)
    assert not found, "\n".join(found)


def _part(folder: str, module: str) -> str | None:
    """The part of ``folder`` that the module belongs to; None for the folder itself and others."""
    if not module.startswith(f"{folder}."):
        return None
    return module.removeprefix(f"{folder}.").partition(".")[0]


def _rank(folder: str, part: str) -> int:
    """Its line in the drawing; a part that is not drawn is another test's complaint."""
    return next((i for i, line in enumerate(ORDER[folder]) if part in line), 0)


@pytest.mark.parametrize("folder", ORDER)
def test_the_drawing_holds_every_part_and_no_other(folder: str) -> None:
    drawn = {part for line in ORDER[folder] for part in line}
    parts = {_part(folder, module.name) for module in MODULES} - {None}
    assert not parts - drawn, f"{folder}: not in ORDER: {sorted(map(str, parts - drawn))}"
    assert not drawn - parts, f"{folder}: only in ORDER: {sorted(drawn - parts)}"


@pytest.mark.parametrize("folder", ORDER)
def test_a_part_imports_only_what_stands_above_it(folder: str) -> None:
    def problems() -> Iterator[str]:
        for module in MODULES:
            part = _part(folder, module.name)
            for target, line in module.imports() if part else ():
                other = _part(folder, target)
                if part and other and _rank(folder, other) > _rank(folder, part):
                    yield f"{module.path.relative_to(TOP)}:{line}: {part} stands above {other}"

    _report(problems())


def test_a_folder_of_the_engine_imports_only_what_its_line_names() -> None:
    def problems() -> Iterator[str]:
        for module in MODULES:
            part = _part("runtime.embedded", module.name)
            if part not in EMBEDDED:
                continue
            allowed = EMBEDDED[part] | {part} | FOUNDATION
            for target, line in module.imports():
                other = _part("runtime.embedded", target)
                if other and other not in allowed:
                    yield f"{module.path.relative_to(TOP)}:{line}: {part} must not know {other}"

    _report(problems())


def test_the_way_of_the_data_goes_in_one_direction() -> None:
    """specs and runtime know neither each other nor the reconciler; nobody names a backend."""

    def problems() -> Iterator[str]:
        for module in MODULES:
            for target, line in module.imports():
                if not _may_import(module.name, target):
                    yield f"{module.path.relative_to(TOP)}:{line}: must not import {target}"

    _report(problems())


def _may_import(name: str, target: str) -> bool:
    package, goal = name.partition(".")[0], target.partition(".")[0]
    if goal not in (*PACKAGES, "tests", "benchmarks"):
        return True
    if goal == "runtime" and target.count(".") >= 2 and _is_backend(target):
        return name == "runtime.backends" or name.startswith(_backend(target))
    return package == goal or (package == "reconciler" and goal in ("specs", "runtime"))


def _backend(target: str) -> str:
    return ".".join(target.split(".")[:2])


def _is_backend(target: str) -> bool:
    if _backend(target) in SHARED:
        return False
    return (TOP / _backend(target).replace(".", "/")).is_dir()


def test_a_library_is_imported_only_where_its_door_is() -> None:
    def problems() -> Iterator[str]:
        for module in MODULES:
            for target, line in module.imports():
                library = target.partition(".")[0]
                homes = LIBRARIES.get(library, ("",))
                if not any(_below(module.name, home) for home in homes):
                    yield f"{module.path.relative_to(TOP)}:{line}: {library} is not for here"

    _report(problems())


def _below(name: str, home: str) -> bool:
    return not home or name == home or name.startswith(f"{home}.")


def test_processes_are_started_in_one_place() -> None:
    def problems() -> Iterator[str]:
        for module in MODULES:
            if module.name in PROCESS_STARTERS:
                continue
            for node in ast.walk(module.tree):
                if found := _starts_a_process(node):
                    yield f"{module.path.relative_to(TOP)}:{found.lineno}: use runtime.programs"

    _report(problems())


def _starts_a_process(node: ast.AST) -> ast.Attribute | ast.ImportFrom | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        named = node.value.id == "os" and STARTS.fullmatch(node.attr)
        return node if named or node.attr.startswith("create_subprocess_") else None
    if isinstance(node, ast.ImportFrom) and node.module == "os":
        return node if any(STARTS.fullmatch(alias.name) for alias in node.names) else None
    return None


def test_only_the_command_line_exits() -> None:
    def problems() -> Iterator[str]:
        for module in MODULES:
            if module.name in {"reconciler.cli.main", "runtime.embedded.process.on_exit"}:
                continue
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                    "sys.exit",
                    "os._exit",
                    "exit",
                    "quit",
                    "SystemExit",
                ):
                    yield f"{module.path.relative_to(TOP)}:{node.lineno}: raise a Fault instead"

    _report(problems())


def test_modules_are_named_for_what_they_know_and_short_enough_to_read() -> None:
    def problems() -> Iterator[str]:
        for module in MODULES:
            length = module.path.read_text().count("\n")
            if module.name.rpartition(".")[2] in VAGUE:
                yield f"{module.path.relative_to(TOP)}: a name that says nothing"
            if length > LONGEST_MODULE:
                yield f"{module.path.relative_to(TOP)}: {length} lines, {LONGEST_MODULE} at most"

    _report(problems())
