"""``trueup lock``: pin what the image references of a spec mean, in a file beside it."""

import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import GlobalOptions, Parser, Usage, add_path
from reconciler.cli.console import opened, read_spec
from reconciler.cli.trees import add_recursive, in_turn, one_only, told_tree
from runtime.errors import Fault
from runtime.reference import BadReference, parse

if TYPE_CHECKING:
    from reconciler.desired import Desired
    from reconciler.lock_file import Locking, Wanted
    from specs.lock import Lock, Pin

_SHORT = len("sha256:") + 12


class LockIsBehind(Fault):
    """The lock file is not what its spec asks for."""

    def __init__(self, file: str, news: str) -> None:
        super().__init__(f"{file} is not up to date", why=news, hint="run `trueup lock`")


class NotResolved(Fault):
    """Registries did not say what references mean; nothing was written."""

    def __init__(self, file: str, faults: Mapping[str, Fault]) -> None:
        self.faults = faults
        told = (f"{entry}: {fault!s}" for entry, fault in faults.items())
        super().__init__(f"{file} is left as it was", hint="\n".join(told))


class Options(GlobalOptions):
    path: Path
    recursive: bool
    update: list[str] | None
    check: bool


def arguments(parser: Parser) -> None:
    add = parser.add_argument
    add_path(parser)
    add_recursive(parser)
    add(
        "--update",
        nargs="*",
        metavar="NAME",
        help="ask the registries again, of all images or of these (names or references), and take "
        "newer tags where the image's `track:` says so; goes behind PATH",
    )
    add("--check", action="store_true", help="only say whether it is up to date: exit 1 if not")


def run(options: Options) -> int:
    """Add what the lock file lacks and take out what the spec does not use; exit 1 when a
    registry does not tell, and nothing is written then."""
    from reconciler.desired import desire
    from reconciler.lock_file import read_beside

    if options.check and options.update is not None:
        raise Usage("--check goes without --update", "it asks no registry and writes nothing")
    if options.recursive:
        one_only({"a name after --update": options.update})
        tree = told_tree(options.path)
        return in_turn(
            tree, lambda each: _lock(each.path, each.desired, options), headers=True, locks=False
        )
    desired = desire(read_spec(options.path).project, lock=read_beside(options.path))
    return _lock(options.path, desired, options)


def _lock(spec: Path, desired: "Desired", options: Options) -> int:
    from specs.lock import Lock, lock_path

    file = lock_path(os.fspath(spec))
    if options.check:
        _check(file, desired.locking)
        return 0
    renewed = _renewed(desired.locking, options.update)
    pins = _pins(options, desired, renewed, file)
    _write(file, Lock(path=file, pins=pins), spec)
    return _tell(file, desired.locking.pins, pins)


def _check(file: str, locking: "Locking") -> None:
    """Raises ``LockIsBehind``."""
    if locking.news:
        raise LockIsBehind(file, locking.news if locking.file else "there is none")
    _say(f"{file} is up to date")


def _renewed(locking: "Locking", update: Sequence[str] | None) -> "Collection[str]":
    """Entries that registries are asked for though they have a pin. Raises ``Usage``."""
    if not update:
        return () if update is None else [each.entry for each in locking.wanted]
    found: set[str] = set()
    for word in update:
        meant = {each.entry for each in locking.wanted if _means(word, each)}
        if not meant:
            known = ", ".join(n for each in locking.wanted for n in (*each.names, each.entry))
            raise Usage(f"the spec has no image {word} to be locked", f"it has: {known or 'none'}")
        found |= meant
    return found


def _means(word: str, wanted: "Wanted") -> bool:
    if word in wanted.names or word == wanted.entry:
        return True
    with suppress(BadReference):
        return parse(word) in wanted.candidates
    return False


def _pins(
    options: Options, desired: "Desired", renewed: "Collection[str]", file: str
) -> "dict[str, Pin]":
    """What the file shall have. Raises ``NotResolved``."""
    from reconciler.resolving import Asker, pin
    from runtime.asking import ask_each

    locking = desired.locking
    kept = {
        each.entry: locking.pins[each.entry]
        for each in locking.wanted
        if each.entry in locking.pins and each.entry not in renewed
    }
    asked = [each for each in locking.wanted if each.entry not in kept]
    if not asked:
        return kept
    with opened(options) as runtime:
        asker = Asker(registries=runtime.registries, access=desired.registries, now=time.time())
        answers = ask_each(
            asked,
            lambda each: pin(
                asker, each, newer=each.entry in renewed, present=locking.pins.get(each.entry)
            ),
        )
    faults = {each.entry: it for each, it in answers.items() if isinstance(it, Fault)}
    if faults:
        raise NotResolved(file, faults)
    made = {each.entry: it for each, it in answers.items() if not isinstance(it, Fault)}
    return {**kept, **made}


def _write(file: str, lock: "Lock", spec: Path) -> None:
    """Put it beside the spec, with the owner and the rights that it has, or of the spec."""
    from runtime import durable
    from specs.lock import render
    from specs.naming import main_file

    text, place = render(lock).encode(), Path(os.path.realpath(file))
    there = place.exists()
    if there and place.read_bytes() == text:
        return
    like = os.stat(place if there else main_file(os.fspath(spec)))
    durable.write(place, text, mode=like.st_mode & 0o777, owner=(like.st_uid, like.st_gid))


def _tell(file: str, before: "Mapping[str, Pin]", after: "Mapping[str, Pin]") -> int:
    lines = [
        *(f"  + {each}  {_words(after[each])}" for each in sorted(after.keys() - before.keys())),
        *(
            f"  ~ {each}  {_words(before[each])} → {_words(after[each])}"
            for each in sorted(after.keys() & before.keys())
            if before[each] != after[each]
        ),
        *(f"  - {each}" for each in sorted(before.keys() - after.keys())),
    ]
    told = f"{file} is up to date" if not lines else f"{file} has {_count(len(after))}"
    _say(*lines, told)
    return 0


def _words(pin: "Pin") -> str:
    return f"{pin.tag} {pin.digest[:_SHORT]}".lstrip()


def _count(number: int) -> str:
    return f"{number} image" if number == 1 else f"{number} images"


def _say(*lines: str) -> None:
    from reconciler.views.terminal import escape

    sys.stdout.write("".join(f"{escape(line)}\n" for line in lines))
