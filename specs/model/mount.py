"""What is mounted into a container: named volumes, paths of the host, anonymous volumes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, NoReturn, TypeVar

from pydantic import BeforeValidator, ValidationError, ValidationInfo, WithJsonSchema

from specs.fields import Context, Spec, about, context_of, is_null
from specs.model.mount_options import (
    KNOWN,
    NOT_YET,
    PROPAGATIONS,
    RELABEL,
    BindOptions,
    VolumeOptions,
)
from specs.model.paths import resolved
from specs.nodes import Map, Text, map_like, text_at
from specs.notations import OBJECT_NAME, OBJECT_RULE, absolute, each_of, name_of, read_text
from specs.problems import Problem, nearest_word
from specs.refusals import not_yet, refuse, refuse_if_any, unknown_word, wrong
from specs.scalars import Unreadable, parse_flag
from specs.translation import Subject

S = TypeVar("S", BindOptions, VolumeOptions)
FORMS: Final = "`NAME:/path`, `./path:/path`, `/path:/path:ro` or `/path`"
_LONG_KEYS: Final = ("type", "source", "target", "read_only", "consistency", "bind", "volume")
_LONG_NOT_YET: Final = {"image", "tmpfs"}
_NESTED: Final = ("bind", "volume")
_TYPES: Final = ("volume", "bind", "tmpfs")
_TYPES_NOT_YET: Final = {"image", "cluster", "npipe"}


class VolumeMount(Spec):
    """A volume of `volumes:` at a path of the container."""

    noun: ClassVar[str] = "a mount"

    volume: str = about("Name of the volume.")
    target: str = about("Path in the container.")
    read_only: bool = about("Whether writing is refused.", default=False)
    subpath: str | None = about("Folder within the volume.", default=None)
    copy_up: bool = about("Whether a new volume gets what the image has there.", default=True)
    relabel: str = about("Label for hosts with SELinux: z, Z or none.", default="")


class BindMount(Spec):
    """A path of the host at a path of the container; `source` is absolute."""

    noun: ClassVar[str] = "a mount"

    source: str = about("Path on the host.")
    target: str = about("Path in the container.")
    read_only: bool = about("Whether writing is refused.", default=False)
    propagation: str = about("As in mount_namespaces(7).", default="")
    create_source: bool = about("Whether a missing folder is made.", default=False)
    relabel: str = about("Label for hosts with SELinux: z, Z or none.", default="")


class AnonymousVolume(Spec):
    """A fresh volume that lives and dies with its container."""

    noun: ClassVar[str] = "a mount"

    target: str = about("Path in the container.")


Mount = VolumeMount | BindMount | AnonymousVolume


def read_mount(item: str | dict[str, Any], context: Context) -> Mount:
    """The mount that one item of `volumes:` asks for; tmpfs items have been taken out before."""
    return _from_map(item, context) if isinstance(item, dict) else _from_text(item, context)


def _from_text(item: str, context: Context) -> Mount:
    source, target, options = _split(item)
    if not source:
        return AnonymousVolume(target=target)
    read_only, relabel = _check_options(item, options), _one_of(options, RELABEL)
    if source.startswith(("/", ".", "~")):
        _refuse_option(item, options, ("nocopy",), "only for volumes")
        return BindMount(
            source=resolved(source, context),
            target=target,
            read_only=read_only,
            propagation=_one_of(options, PROPAGATIONS).removesuffix("rprivate"),
            relabel=relabel,
        )
    _check_name(item, source)
    _refuse_option(item, options, PROPAGATIONS, "only for paths of this host")
    copy_up = "nocopy" not in options
    return VolumeMount(
        volume=source, target=target, read_only=read_only, copy_up=copy_up, relabel=relabel
    )


def _one_of(options: list[str], words: tuple[str, ...]) -> str:
    """The last of these words among the options, "" when there is none."""
    return next((each for each in reversed(options) if each in words), "")


def _refuse_option(item: str, options: list[str], words: tuple[str, ...], why: str) -> None:
    if _one_of(options, words):
        _refuse(item, f"has an option that is {why}", "ro or rw after the second colon")


def _split(item: str) -> tuple[str, str, list[str]]:
    """(source or empty, target, options) of `source:target:options`."""
    parts = str(item).split(":")
    if len(parts) == 1:
        return "", _target(item, parts[0]), []
    if len(parts) > 3:
        _refuse(item, "has too many colons")
    if not parts[0]:
        _refuse(item, "names no source before the colon")
    return parts[0], _target(item, parts[1]), parts[2].split(",") if len(parts) == 3 else []


def _target(item: str, text: str) -> str:
    try:
        return absolute(text)
    except Unreadable as error:
        reason = (
            "mounts over the whole root file system"
            if error.reason
            else "has no path in the container"
        )
        _refuse(item, reason, f"{FORMS}; the container's path begins with /")


def _check_name(item: str, name: str) -> None:
    try:
        name_of("a volume", OBJECT_NAME, "")(name)
    except Unreadable:
        hint = (
            f"for a path of this host write `./{name}`" if _may_show(item) and "/" in name else ""
        )
        _refuse(item, "names neither a volume nor a path of this host", hint=hint)


def _check_options(item: str, options: list[str]) -> bool:
    """Whether writing is refused, once all options are known ones."""
    for option in options:
        if option in NOT_YET:
            refuse([not_yet(item, f"the mount option `{option}`")])
        if option not in KNOWN:
            near = nearest_word(option, KNOWN)
            _refuse(
                item,
                "has an unknown option",
                "ro or rw after the second colon",
                near and f"did you mean `{near}`?",
            )
    return "ro" in options


def _refuse(item: str, reason: str, expected: str = FORMS, hint: str = "") -> NoReturn:
    refuse([wrong(item, expected, reason=reason, hint=hint if _may_show(item) else "")])


def _may_show(item: str) -> bool:
    return not (isinstance(item, Text) and (item.foreign or item.unset))


def _from_map(item: dict[str, Any], context: Context) -> Mount:
    """The long form; each type has its own class."""
    kind = type_of(item)
    flat = map_like(item, item.keys() - set(_NESTED)) if isinstance(item, Map) else item
    texts = long_texts(flat, _LONG_KEYS, _LONG_NOT_YET, "a mount")
    source, target = texts.get("source"), _long_target(item, texts)
    read_only = bool(read_text(texts.get("read_only", "false"), parse_flag))
    bind, volume = _nested(item, "bind", BindOptions), _nested(item, "volume", VolumeOptions)
    if kind == "bind":
        if not source:
            refuse([wrong(item, "a `source`, the path on this host", reason="has no `source`")])
        return BindMount(
            source=resolved(source, context),
            target=target,
            read_only=read_only,
            propagation=bind.propagation,
            create_source=bind.create_host_path,
            relabel=bind.selinux,
        )
    if not source:
        return AnonymousVolume(target=target)
    read_text(source, name_of("a volume", OBJECT_NAME, OBJECT_RULE))
    return VolumeMount(
        volume=str(source),
        target=target,
        read_only=read_only,
        subpath=volume.subpath,
        copy_up=not volume.nocopy,
    )


def _nested(item: dict[str, Any], key: str, spec: type[S]) -> S:
    """What `bind:` or `volume:` says, each problem at its place."""
    node = item.get(key)
    if is_null(node):
        return spec()
    if not isinstance(node, Map):
        refuse([wrong(node, "a map `{key: value}`")])
    try:
        return spec.model_validate(node)
    except ValidationError as error:
        subject = Subject(spec, f"`{key}`", text_at(key, node.span), node)
        refuse(subject.problems_of(error))


def type_of(item: dict[str, Any]) -> str:
    """`volume`, `bind` or `tmpfs`; a map must say which."""
    kind = item.get("type")
    if kind in _TYPES:
        return str(kind)
    if isinstance(kind, Text) and kind in _TYPES_NOT_YET:
        refuse([not_yet(kind, f"a mount of type `{kind}`")])
    if kind is None or is_null(kind):
        refuse([wrong(item, "a `type`: volume, bind or tmpfs", reason="has no `type`")])
    near = nearest_word(kind, _TYPES) if isinstance(kind, str) else ""
    problem = wrong(kind, "one of " + ", ".join(_TYPES), reason="is not a type of mount")
    return refuse([replace(problem, nearest=near)])


def long_texts(
    item: dict[str, Any], known: tuple[str, ...], later: set[str], noun: str
) -> dict[str, str]:
    """A long form's scalars, once all its keys are known ones."""
    keys = item.keys_at.values() if isinstance(item, Map) else ()
    refuse_if_any([_unknown(key, known, later, noun) for key in keys if key not in known])
    refuse_if_any([wrong(v, "text") for v in item.values() if isinstance(v, (dict, list))])
    return {key: value for key, value in item.items() if not is_null(value)}


def _unknown(key: Text, known: tuple[str, ...], later: set[str], noun: str) -> Problem:
    if key in later:
        return not_yet(key, f"`{key}` of {noun}")
    return unknown_word(key, known, noun)


def _long_target(item: dict[str, Any], texts: dict[str, str]) -> str:
    if "target" not in texts:
        refuse([wrong(item, "a `target`, the path in the container", reason="has no `target`")])
    return str(read_text(texts["target"], absolute))


def _read_all(value: object, info: ValidationInfo) -> Any:
    context = context_of(info)
    return each_of(
        value, 'a list of mounts such as `["data:/data"]`', lambda item: read_mount(item, context)
    )


_LONG_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "type": {"enum": list(_TYPES)},
        "source": {"type": "string"},
        "target": {"type": "string"},
        "read_only": {"type": ["boolean", "string"]},
        "consistency": {"type": "string"},
        "bind": {"type": "object"},
        "volume": {"type": "object"},
        "tmpfs": {"type": "object"},
    },
    "required": ["type", "target"],
    "additionalProperties": False,
}
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "string", "examples": ["data:/var/lib/data", "./conf:/etc/app:ro"]},
            _LONG_SCHEMA,
        ]
    },
}

Mounts = Annotated[tuple[Mount, ...], BeforeValidator(_read_all), WithJsonSchema(dict(_SCHEMA))]
