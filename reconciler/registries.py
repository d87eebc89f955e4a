"""How registries are reached: what the spec says of one, and beneath it the file of the machine.

Both are read at each look, so a change of either needs no restart.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.credentials import Missing, secret, text
from reconciler.short_names import Search
from reconciler.spec import SpecBroken
from runtime.api import RegistryAccess

if TYPE_CHECKING:
    from specs.model.project import Project
    from specs.model.registry import Registry, RegistryAuth
    from specs.registries import MachineRegistries
    from specs.source import Span

CONFIG_DIR = "TRUEUP_CONFIG_DIR"
_DEFAULT_CONFIG_DIR = "/etc/trueup"
_FILE = "registries.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """``access`` is what is special about registries, by host; ``search`` is for short names."""

    access: tuple[RegistryAccess, ...] = ()
    search: Search = field(default_factory=Search)


def config_dir(environ: Mapping[str, str]) -> str:
    """The folder of what somebody set for the whole machine; it need not be there."""
    return os.path.abspath(environ.get(CONFIG_DIR) or _DEFAULT_CONFIG_DIR)


def known(project: "Project | None", environ: Mapping[str, str] = os.environ) -> Registries:
    """What the spec says, and the machine's file where the spec is silent: field by field.

    A password that is not where it should be is no error yet: `RegistryAccess.missing` tells of it
    when the registry asks for it. Raises ``SpecBroken`` for the machine's file.
    """
    path = os.path.join(config_dir(environ), _FILE)
    if project is None and not os.path.exists(path):
        return Registries()  # without the cost of reading YAML
    sayings = _Sayings(project, _machine(path, environ))
    return Registries(
        access=tuple(_access(sayings, host, environ) for host in sayings.hosts()),
        search=sayings.search(),
    )


def _machine(path: str, environ: Mapping[str, str]) -> "MachineRegistries":
    from specs.problems import SpecErrors, render
    from specs.registries import load_registries

    try:
        return load_registries(path, environ)
    except SpecErrors as errors:
        raise SpecBroken(render(errors.problems), len(errors.problems)) from errors


@dataclass(frozen=True, slots=True)
class _Sayings:
    """Both files, of which the spec is asked first."""

    project: "Project | None"
    machine: "MachineRegistries"

    def hosts(self) -> list[str]:
        own = self.project.registries if self.project else {}
        return sorted({*map(str, own), *map(str, self.machine.registries)})

    def of(self, host: str, field: str) -> Any:
        """The field of the first file that has it; None: neither does."""
        said = (each for each, _ in self._both(host) if field in each.model_fields_set)
        return next((getattr(each, field) for each in said), None)

    def place(self, host: str, *path: str) -> str:
        """file:line of that field, whichever file has it; "" for none."""
        has = (span for each, span in self._both(host) if path[0] in each.model_fields_set)
        found = next((span("registries", host, *path) for span in has), None)
        return found.brief if found else ""

    def search(self) -> Search:
        if self.project and self.project.search_registries is not None:
            hosts, span = self.project.search_registries, self.project.span("search_registries")
        elif self.machine.search is not None:
            hosts, span = self.machine.search, self.machine.span("search")
        else:
            return Search()
        return Search(hosts=tuple(map(str, hosts)), place=span.brief if span else "")

    def _both(self, host: str) -> "Iterator[tuple[Registry, Callable[..., Span | None]]]":
        for each in (self.project, self.machine):
            if each and host in each.registries:
                yield each.registries[host], each.span


def _access(sayings: _Sayings, host: str, environ: Mapping[str, str]) -> RegistryAccess:
    return RegistryAccess(
        host=host,
        insecure=bool(sayings.of(host, "insecure")),
        ca=str(sayings.of(host, "ca") or ""),
        certificate=str(sayings.of(host, "cert") or ""),
        key=str(sayings.of(host, "key") or ""),
        mirrors=tuple(map(str, sayings.of(host, "mirrors") or ())),
        partners=tuple(map(str, sayings.of(host, "partners") or ())),
        **_login(sayings, host, environ),
    )


def _login(sayings: _Sayings, host: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The fields of ``RegistryAccess`` that are about it."""
    auth: RegistryAuth | None = sayings.of(host, "auth")
    if auth is None:
        return {}
    username = str(auth.username)
    try:
        password = secret(auth.password, environ)
        return {"username": text(username, "the username"), "password": password}
    except Missing as missing:
        place = sayings.place(host, "auth", "password")
        return {"username": username, "missing": f"{missing} ({place})" if place else str(missing)}
