"""JSON that strangers wrote: bounded, unambiguous, checked before anything reads it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtime.errors import Fault
from runtime.reference import BadDigest, check_digest

LARGEST = 4 << 20  # bytes of a manifest or config; the distribution-spec asks for 4 MB
_LARGEST_BLOB = 1 << 50

Document = dict[str, Any]


class BadDocument(Fault):
    """A manifest, index or image configuration that is damaged, ambiguous or not an image's."""

    def __init__(self, what: str, why: str, hint: str = "") -> None:
        super().__init__(
            f"the {what} cannot be used",
            why=why,
            hint=hint or "the image is damaged or hostile: build and push it anew",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob by its content: ``digest`` is sha256 and checked to be one, ``size`` in bytes."""

    media_type: str
    digest: str
    size: int


def read(raw: bytes, what: str) -> Document:
    """The JSON object in ``raw``. Raises ``BadDocument``, also for keys that come twice, for
    what JSON does not have (NaN), for texts that cannot be encoded (a lone surrogate) and for
    nesting that would exhaust the stack."""
    value = _read(raw, what)
    if not isinstance(value, dict):
        raise BadDocument(what, "it is not a JSON object")
    return value


def read_list(raw: bytes, what: str) -> list[Any]:
    """As ``read`` for a JSON array."""
    value = _read(raw, what)
    if not isinstance(value, list):
        raise BadDocument(what, "it is not a JSON array")
    return value


def _read(raw: bytes, what: str) -> object:
    if len(raw) > LARGEST:
        raise BadDocument(what, f"it has more than {LARGEST:,} bytes")
    try:
        found: object = json.loads(
            raw, object_pairs_hook=_unique(what), parse_constant=_refuse_constant
        )
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadDocument(what, "a text in it has half a surrogate pair: no character") from error
    except (ValueError, RecursionError) as error:
        raise BadDocument(what, f"it is not JSON: {str(error)[:200]}") from error
    return found


def _unique(what: str) -> Callable[[list[tuple[str, Any]]], Document]:
    def build(pairs: list[tuple[str, Any]]) -> Document:
        found: Document = {}
        for name, value in pairs:
            if name in found:
                raise BadDocument(what, f"the key {name[:100]!r} stands there twice")
            found[name] = value
        return found

    return build


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON value")


def descriptor(value: object, what: str) -> Descriptor:
    """A descriptor of the image-spec. Its ``urls`` are ignored: blobs come from the registry
    that was named. Raises ``BadDocument``."""
    if not isinstance(value, dict):
        raise BadDocument(what, "a descriptor is missing or not an object")
    media_type, digest, size = (value.get(key) for key in ("mediaType", "digest", "size"))
    if not isinstance(media_type, str) or not isinstance(digest, str):
        raise BadDocument(what, "a descriptor has no media type or digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < _LARGEST_BLOB:
        raise BadDocument(what, f"a descriptor has the size {str(size)[:40]}")
    try:
        check_digest(digest)
    except BadDigest as error:
        raise BadDocument(what, error.what) from error
    return Descriptor(media_type=media_type.lower(), digest=digest, size=size)
