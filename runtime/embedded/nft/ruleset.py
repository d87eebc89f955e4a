"""A table as a value, and the text that makes the kernel hold it; pure, nft(8).

A table has a fixed part (declarations and chains) and elements. What changes in daily life is
elements only, so most changes are a few lines of text and one transaction.
"""

from collections.abc import Mapping

import msgspec

Elements = Mapping[str, str]


class Set(msgspec.Struct, frozen=True, kw_only=True):
    """A named set, or map: ``elements`` leads keys to data, "" in a set. Both are written as
    nft lists them. ``what`` says in words what the set is for."""

    name: str
    declaration: str
    what: str
    elements: Elements = {}
    is_map: bool = False

    @property
    def keyword(self) -> str:
        return "map" if self.is_map else "set"


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A base chain: its hook and its rules, one text each."""

    name: str
    hook: str
    rules: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of family inet."""

    name: str
    sets: tuple[Set, ...]
    chains: tuple[Chain, ...]

    @property
    def skeleton(self) -> str:
        """All but the elements."""
        return _text(self, with_elements=False)


def replace(table: Table) -> str:
    """One transaction after which the table is exactly this, whatever was there."""
    return f"{destroy(table.name)}{_text(table, with_elements=True)}"


def destroy(name: str) -> str:
    """Delete the table; adding it first makes that work when there is none."""
    return f"add table inet {name}\ndelete table inet {name}\n"


def change(before: Table, after: Table) -> str:
    """The smallest transaction that leads from one to the other; empty when nothing differs.

    An element whose data changed is deleted and added: the kernel swaps both in one step.
    """
    if before.skeleton != after.skeleton:
        return replace(after)
    deleted, added = [], []
    for old, new in zip(before.sets, after.sets, strict=True):
        if old.elements == new.elements:
            continue
        gone = {k: v for k, v in old.elements.items() if new.elements.get(k) != v}
        come = {k: v for k, v in new.elements.items() if old.elements.get(k) != v}
        if gone:
            deleted.append(f"delete element inet {after.name} {new.name} {{ {_list(gone)} }}\n")
        if come:
            added.append(f"add element inet {after.name} {new.name} {{ {_list(come)} }}\n")
    return "".join(deleted + added)


def _text(table: Table, *, with_elements: bool) -> str:
    parts = [_set(one, with_elements=with_elements) for one in table.sets]
    parts += [_chain(one) for one in table.chains]
    return f"table inet {table.name} {{\n" + "\n".join(parts) + "}\n"


def _set(one: Set, *, with_elements: bool) -> str:
    lines = [f"\t{one.keyword} {one.name} {{\n", f"\t\t{one.declaration}\n"]
    if with_elements and one.elements:
        lines.append(f"\t\telements = {{ {_list(one.elements)} }}\n")
    return "".join([*lines, "\t}\n"])


def _list(elements: Elements) -> str:
    return ", ".join(f"{key} : {data}" if data else key for key, data in elements.items())


def _chain(one: Chain) -> str:
    rules = "".join(f"\t\t{rule}\n" for rule in one.rules)
    return f"\tchain {one.name} {{\n\t\ttype {one.hook}\n{rules}\t}}\n"
