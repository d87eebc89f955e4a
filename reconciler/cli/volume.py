"""``trueup volume``: the volumes of all projects. Specs make them; only a name removes one."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser, Usage
from reconciler.cli.console import opened, records
from reconciler.cli.documents import add_format, show
from reconciler.lookup import named
from reconciler.views import volumes as view
from reconciler.views.inspect import Document
from runtime.errors import Fault

if TYPE_CHECKING:
    from runtime.api import Runtime, VolumeUse


class Options(GlobalOptions):
    action: str
    names: list[str]
    force: bool
    quiet: bool
    format: str


class NoSuchVolume(Fault):
    """No volume is called that."""

    def __init__(self, word: str) -> None:
        super().__init__(f"there is no volume `{word}`", hint="`trueup volume ls` lists them all")


class VolumeInUse(Fault):
    """A container has it, running or not."""

    def __init__(self, word: str, users: Sequence[str]) -> None:
        self.users = tuple(users)
        super().__init__(
            f"volume {word} cannot be removed",
            why=f"{', '.join(users)} {'has' if len(users) == 1 else 'have'} it",
            hint="take it from the spec and apply, or `trueup down` the project first",
        )


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("action", choices=("ls", "inspect", "rm"), help="list, tell all about some, or remove some")
    add("names", metavar="NAME", nargs="*", help="project/name, or a name that is unique")
    add("--force", action="store_true", help="rm: a volume that is not there is no error")
    add("-q", "--quiet", action="store_true", help="ls: only names")
    add_format(parser)


def run(options: Options) -> int:
    """List, inspect or remove."""
    if options.action == "ls" and options.names:
        raise Usage(f"`{options.names[0]}` is one argument too many", "volume ls lists all")
    if options.action != "ls" and not options.names:
        raise Usage(f"volume {options.action} needs a NAME", "`trueup volume ls` lists them all")
    with opened(options) as runtime:
        if options.action == "inspect":
            show([inspected(word, runtime) for word in options.names], options.format)
            return 0
        if options.action == "rm":
            for word in options.names:
                _remove(word, options, runtime)
            return 0
        listed = view.rows(runtime.volumes(), runtime.containers())
    from reconciler.views.listing import listing

    form = "{{.Name}}" if options.quiet else options.format or "table"
    sys.stdout.write(listing(listed, view.TITLES, columns=view.COLUMNS, form=form))
    return 0


def inspected(word: str, runtime: "Runtime") -> Document:
    """The document of one volume. Raises ``NoSuchVolume`` and ``Ambiguous``."""
    return view.document(_found(word, runtime), runtime.containers())


def _found(word: str, runtime: "Runtime") -> "VolumeUse":
    found = named(word, {view.name(each): each for each in runtime.volumes()})
    if found is None:
        raise NoSuchVolume(word)
    return found


def _remove(word: str, options: Options, runtime: "Runtime") -> None:
    """Delete one with all data in it, unless a container has it."""
    from reconciler.records.writer_lock import project_lock

    try:
        use = _found(word, runtime)
    except NoSuchVolume:
        if options.force:
            return
        raise
    kept = records(options, "volume rm")
    kept.prepare()
    with project_lock(kept.locks, use.project, timeout=options.lock_timeout):
        if users := view.users(use, runtime.containers()):
            raise VolumeInUse(view.name(use), sorted({str(each.key) for each in users}))
        runtime.remove_volume(use.project, use.volume.applied.name)
    sys.stdout.write(f"{view.name(use)}\n")
