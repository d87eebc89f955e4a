"""Memory in a container: `/run`, `/tmp:size=64m,mode=1777`, or `type: tmpfs` in `volumes:`."""

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.fields import Spec, about, is_null
from specs.model.mount import long_texts
from specs.nodes import List, Map, Text, list_like, map_like
from specs.notations import absolute, each_of, read_text
from specs.problems import nearest_word
from specs.refusals import refuse, wrong
from specs.scalars import Unreadable, parse_bytes, parse_flag, parse_mode

_DEFAULTS: Final = {"rw", "noexec", "nosuid", "nodev"}  # what a tmpfs of ours has anyway
_WORDS: Final = {"ro", "exec", "suid", "dev", "noatime", "nodiratime", "relatime", "strictatime"}
_NUMBERS: Final = {"uid": "an id", "gid": "an id", "nr_inodes": "a number", "nr_blocks": "a number"}
_NUMBER: Final = re.compile(r"\d{1,10}[kmgKMG]?", re.ASCII)
_EXPECTED: Final = "a path in the container, with options if wished: /tmp:size=64m,mode=1777"
_VALUES: Final[dict[str, Callable[[str], int]]] = {"size": parse_bytes, "mode": parse_mode}


class TmpfsMount(Spec):
    """Memory at a path of the container; gone when it stops."""

    noun: ClassVar[str] = "a tmpfs"

    target: str = about("Path in the container.")
    size: int | None = about("Most bytes that it may hold; None: half of the memory.", default=None)
    mode: int | None = about("Permission bits of its root; None: 1777.", default=None)
    options: tuple[str, ...] = about("Further words of mount(8), by name.", default=())


def take_tmpfs(data: dict[str, Any]) -> dict[str, Any]:
    """A container whose `volumes:` of type tmpfs have moved to `tmpfs:`, places kept."""
    volumes = data.get("volumes")
    if not isinstance(volumes, List) or not any(map(is_tmpfs, volumes)):
        return data
    own = data.get("tmpfs")
    own = [] if is_null(own) else own if isinstance(own, list) else [own]
    rest = list_like(volumes, [item for item in volumes if not is_tmpfs(item)])
    return {
        **data,
        "volumes": rest,
        "tmpfs": list_like(volumes, [*own, *filter(is_tmpfs, volumes)]),
    }


def is_tmpfs(item: object) -> bool:
    """Whether an item of `volumes:` is memory."""
    return isinstance(item, Map) and item.get("type") == "tmpfs"


def read_tmpfs(item: str | dict[str, Any]) -> TmpfsMount:
    """The mount that one item asks for."""
    return _from_map(item) if isinstance(item, dict) else _from_text(item)


def _from_text(item: str) -> TmpfsMount:
    target, colon, options = str(item).partition(":")
    found: dict[str, int] = {}
    words: list[str] = []
    for each in options.split(",") if colon else []:
        _take(item, each, found, words)
    try:
        return TmpfsMount(target=absolute(target), options=tuple(sorted(set(words))), **found)
    except Unreadable:
        refuse([wrong(item, _EXPECTED)])


def _take(item: str, option: str, found: dict[str, int], words: list[str]) -> None:
    """One option: its value into `found`, or a word of mount(8) into `words`."""
    name, _, value = option.partition("=")
    if name in _VALUES:
        try:
            found[name] = _VALUES[name](value)
        except Unreadable as error:
            refuse([wrong(item, error.expected, reason=f"has a `{name}` that cannot be read")])
    elif name in _NUMBERS:
        if not _NUMBER.fullmatch(value):
            refuse([wrong(item, _NUMBERS[name], reason=f"has a `{name}` that cannot be read")])
        words.append(option)
    elif option in _WORDS:
        words.append(option)
    elif option not in _DEFAULTS:
        near = nearest_word(name, [*_VALUES, *_NUMBERS, *_WORDS, *_DEFAULTS])
        hint = f"did you mean `{near}`?" if near else ""
        expected = "options such as size=64m, mode=1777, uid=1000, exec"
        refuse([wrong(item, expected, reason="has an unknown option", hint=hint)])


def _from_map(item: dict[str, Any]) -> TmpfsMount:
    """`{type: tmpfs, target: /tmp, tmpfs: {size: 64m, mode: 1777}}`."""
    options = item.get("tmpfs")
    options = options if isinstance(options, dict) else {}
    keys = ("type", "target", "read_only", "consistency")
    outer = long_texts(_without(item, "tmpfs"), keys, set(), "a tmpfs")
    inner = long_texts(options, ("size", "mode"), set(), "`tmpfs`")
    if "target" not in outer:
        refuse([wrong(item, "a `target`, the path in the container", reason="has no `target`")])
    values = {name: read_text(inner[name], _VALUES[name]) for name in inner}
    read_only = read_text(outer.get("read_only", "false"), parse_flag)
    words = ("ro",) if read_only else ()
    return TmpfsMount(target=read_text(outer["target"], absolute), options=words, **values)


def _without(item: dict[str, Any], key: str) -> dict[str, Any]:
    return map_like(item, item.keys() - {key}) if isinstance(item, Map) else item


def _read_all(value: object) -> Any:
    items = [value] if isinstance(value, Text) else value
    return each_of(items, "a path or a list of paths", read_tmpfs)


Tmpfs = Annotated[
    tuple[TmpfsMount, ...],
    BeforeValidator(_read_all),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "examples": ["/tmp:size=64m,mode=1777"]},
                {"type": "array", "items": {"type": "string"}},
            ]
        }
    ),
]
