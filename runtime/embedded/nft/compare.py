"""What a table really holds, read from libnftables-json(5), against what it should; pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from runtime.embedded.nft.ruleset import Table


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A table as the kernel has it: elements by set, and a print of all else."""

    elements: Mapping[str, Mapping[str, str]]
    fingerprint: str


def read(listing: str) -> Seen:
    """Read the JSON of one table. Handles are left out: they count up with each change."""
    elements: dict[str, dict[str, str]] = {}
    fixed = []
    for entry in json.loads(listing)["nftables"]:
        for kind, found in entry.items():
            if kind == "metainfo":
                continue
            found.pop("handle", None)
            if kind in ("set", "map"):
                elements[found["name"]] = _elements(found.pop("elem", []), is_map=kind == "map")
            fixed.append((kind, found))
    text = json.dumps(fixed, sort_keys=True)
    return Seen(elements=elements, fingerprint=digest(text))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _elements(found: list[Any], *, is_map: bool) -> dict[str, str]:
    if is_map:
        return {_word(key): _word(data) for key, data in found}
    return {_word(key): "" for key in found}


def _word(value: Any) -> str:
    """An expression as we write it in ruleset text."""
    if not isinstance(value, dict):
        return str(value)
    ((kind, inner),) = value.items()
    if kind == "concat":
        return " . ".join(map(_word, inner))
    if kind == "range":
        return f"{_word(inner[0])}-{_word(inner[1])}"
    if kind == "prefix":
        return f"{inner['addr']}/{inner['len']}"
    if kind == "elem":
        return _word(inner["val"])
    return json.dumps(value, sort_keys=True)


def differences(wanted: Table, seen: Seen, names: Mapping[str, str]) -> list[str]:
    """Say in words which elements are missing, wrong or too many.

    ``names`` calls the first word of a key by a name: an address by its service.
    """
    found = []
    for one in wanted.sets:
        have = seen.elements.get(one.name)
        if have is None:
            found.append(f"{one.what} is missing")
            continue
        want = {key.replace('"', ""): data for key, data in one.elements.items()}
        for key in sorted(want.keys() - have.keys() | _wrong(want, have)):
            called = names.get(key.split(" . ")[0], key)
            leads = f"does not lead {called} to {names.get(want[key], want[key])}"
            found.append(f"{one.what} {leads if one.is_map else f'lacks {called}'}")
        found += [f"{one.what} has {key} too much" for key in sorted(have.keys() - want.keys())]
    return found


def _wrong(want: Mapping[str, str], have: Mapping[str, str]) -> set[str]:
    return {key for key in want.keys() & have.keys() if want[key] != have[key]}
