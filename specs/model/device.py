"""`devices` and `device_cgroup_rules`: devices of the host, and which ones may be used at all."""

import posixpath
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.fields import Spec, about
from specs.model.mount import long_texts
from specs.notations import WORD_SCHEMA, each_of, list_of, matching
from specs.refusals import not_yet, refuse, wrong

FORMS: Final = "`/dev/fuse`, `/dev/sda:/dev/xvda` or `/dev/sda:/dev/xvda:r`"
_RULE: Final = "a rule such as `c 1:3 rwm`: a, b or c, major:minor or `*`, and out of r, w, m"
_KEYS: Final = ("source", "target", "permissions")


class Device(Spec):
    """A device of the host in the container."""

    noun: ClassVar[str] = "a device"

    source: str = about("Path on the host.")
    target: str = about("Path in the container.")
    permissions: str = about("Out of r (read), w (write) and m (mknod).", default="rwm")


def _read_item(item: str | dict[str, Any]) -> Device:
    if isinstance(item, dict):
        return _from_map(item)
    if "=" in item:
        refuse([not_yet(item, "a device by its CDI name")])
    parts = str(item).split(":")
    if len(parts) == 2 and _is_access(parts[1]):
        parts = [parts[0], parts[0], parts[1]]
    if len(parts) > 3:
        refuse([wrong(item, FORMS, reason="has too many colons")])
    return _device(item, *parts)


def _from_map(item: dict[str, Any]) -> Device:
    texts = long_texts(item, _KEYS, set(), "a device")
    if "source" not in texts:
        refuse([wrong(item, "a `source`, the path on the host", reason="has no `source`")])
    source = str(texts["source"])
    return _device(item, source, texts.get("target", source), texts.get("permissions", "rwm"))


def _device(item: object, source: str, target: str = "", permissions: str = "rwm") -> Device:
    if not _is_access(permissions):
        refuse([wrong(item, "permissions out of r, w and m", reason="has unknown permissions")])
    paths = [posixpath.normpath(path) for path in (source, target or source)]
    if not all(path.startswith("/") and "\0" not in path for path in paths):
        refuse([wrong(item, FORMS, reason="has a path that does not begin with /")])
    ordered = "".join(letter for letter in "rwm" if letter in permissions)
    return Device(source=paths[0], target=paths[1], permissions=ordered)


def _is_access(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm")


def _read_all(value: object) -> Any:
    return each_of(value, 'a list of devices such as `["/dev/fuse"]`', _read_item)


_LONG: Final = {
    "type": "object",
    "properties": {key: {"type": "string"} for key in _KEYS},
    "required": ["source"],
    "additionalProperties": False,
}
Devices = Annotated[
    tuple[Device, ...],
    BeforeValidator(_read_all),
    WithJsonSchema({"type": "array", "items": {"anyOf": [WORD_SCHEMA, _LONG]}}),
]
DeviceRules = Annotated[
    tuple[str, ...], *list_of(matching(r"[abc] (\d+|\*):(\d+|\*) [rwm]{1,3}", _RULE), _RULE)
]
