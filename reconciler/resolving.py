"""What references mean in their registries now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from reconciler.lock_file import Wanted
from reconciler.short_names import first_there
from runtime.api import Registries, RegistryAccess, Resolved
from runtime.errors import Absent, NoVariant
from runtime.reference import Reference

if TYPE_CHECKING:
    from specs.lock import Pin

_MOST_ASKED = 20  # tags of one repository, to find one that is old enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Asks registries, reached by ``access``; ``now`` is in seconds since the epoch."""

    registries: Registries
    access: Sequence[RegistryAccess]
    now: float

    def meaning(self, wanted: Wanted) -> Resolved:
        """What the reference means as it is written. Raises what registries raise."""
        return first_there(wanted.candidates, lambda each: self._resolve(each, wanted))[1]

    def newest(self, wanted: Wanted, current: str) -> tuple[str, Resolved] | None:
        """The newest tag that may be taken in place of the tag ``current``, and what it means;
        None when none may be, not even that one, which is asked for however many are newer.
        Raises what registries raise.

        An image that does not say when it was made is as young as can be."""
        if wanted.choice is None:
            return None
        found, tags = first_there(
            wanted.candidates, lambda each: self.registries.tags(str(each), self.access)
        )
        allowed = wanted.choice.newest_first(tags, current)
        last = [current] if current in allowed[_MOST_ASKED:] else []
        for tag in (*allowed[:_MOST_ASKED], *last):
            try:
                resolved = self._resolve(msgspec.structs.replace(found, tag=tag), wanted)
            except (Absent, NoVariant):  # gone since, or not for this platform
                continue
            if not wanted.min_age or 0 < resolved.created <= self.now - wanted.min_age:
                return tag, resolved
        return None

    def digest(self, found: Sequence[Reference]) -> str:
        """The digest that the first of the references which is there has now."""
        return first_there(found, lambda each: self.registries.digest(str(each), self.access))[1]

    def _resolve(self, reference: Reference, wanted: Wanted) -> Resolved:
        return self.registries.resolve(str(reference), self.access, wanted.platform)


def pin(asker: Asker, wanted: Wanted, *, newer: bool, present: "Pin | None" = None) -> "Pin":
    """What a lock file shall say of the reference: its tag as it is written, or with ``newer`` the
    newest that may be taken. Where none may be, what is tracked stays ``present``, which the spec
    lets be taken: the written tag is older, or as young as any. Raises what registries raise."""
    from specs.lock import Pin

    written = wanted.candidates[0].tag
    held = present if newer and wanted.choice else None
    current = held.tag if held and held.tag else written
    found = asker.newest(wanted, current) if newer else None
    if found is None and held is not None:
        return held
    tag, resolved = found or (written, asker.meaning(wanted))
    return Pin(
        digest=resolved.digest,
        tag="" if tag == written else tag,
        platforms=resolved.platforms,
    )
