"""Memory in a container: `/run`, `/tmp:size=64m,mode=1777`, or `type: tmpfs` in `volumes:`."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.fields import Spec, about, is_null
from specs.model.mount import long_texts
from specs.nodes import List, Map, Text, list_like, map_like
from specs.notations import absolute, each_of, read_text
from specs.problems import nearest_word
from specs.refusals import not_yet, refuse, wrong
from specs.scalars import Unreadable, parse_bytes, parse_mode

_DEFAULTS: Final = {"rw", "noexec", "nosuid", "nodev"}  # what a tmpfs of ours has anyway
_NOT_YET: Final = {"ro", "exec", "suid", "dev", "uid", "gid", "nr_inodes", "nr_blocks"}
_EXPECTED: Final = "a path in the container, with options if wished: /tmp:size=64m,mode=1777"
_VALUES: Final[dict[str, Callable[[str], int]]] = {"size": parse_bytes, "mode": parse_mode}


class TmpfsMount(Spec):
    """Memory at a path of the container; gone when it stops."""

    noun: ClassVar[str] = "a tmpfs"

    target: str = about("Path in the container.")
    size: int | None = about("Most bytes that it may hold; None: half of the memory.", default=None)
    mode: int | None = about("Permission bits of its root; None: 1777.", default=None)


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
    found = dict(_option(item, each) for each in options.split(",")) if colon else {}
    try:
        return TmpfsMount(target=absolute(target), size=found.get("size"), mode=found.get("mode"))
    except Unreadable:
        refuse([wrong(item, _EXPECTED)])


def _option(item: str, option: str) -> tuple[str, int | None]:
    name, _, value = option.partition("=")
    if name in _NOT_YET:
        refuse([not_yet(item, f"the tmpfs option `{name}`")])
    if name in _VALUES:
        try:
            return name, _VALUES[name](value)
        except Unreadable as error:
            refuse([wrong(item, error.expected, reason=f"has a `{name}` that cannot be read")])
    if option not in _DEFAULTS:
        near = nearest_word(name, [*_VALUES, *_DEFAULTS])
        hint = f"did you mean `{near}`?" if near else ""
        refuse(
            [wrong(item, "the options size= and mode=", reason="has an unknown option", hint=hint)]
        )
    return option, None


def _from_map(item: dict[str, Any]) -> TmpfsMount:
    """`{type: tmpfs, target: /tmp, tmpfs: {size: 64m, mode: 1777}}`."""
    options = item.get("tmpfs")
    options = options if isinstance(options, dict) else {}
    outer = long_texts(_without(item, "tmpfs"), ("type", "target"), {"read_only"}, "a tmpfs")
    inner = long_texts(options, ("size", "mode"), set(), "`tmpfs`")
    if "target" not in outer:
        refuse([wrong(item, "a `target`, the path in the container", reason="has no `target`")])
    values = {name: read_text(inner[name], _VALUES[name]) for name in inner}
    return TmpfsMount(target=read_text(outer["target"], absolute), **values)


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
