"""An image's configuration document: how to run it, and which layers it consists of."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from runtime.api import Healthcheck, ImageDefaults
from runtime.embedded.registry.documents import BadDocument, Document, read
from runtime.embedded.registry.manifest import NoPlatform, Platform
from runtime.reference import BadDigest, check_digest

_NANO = 1_000_000_000  # nanoseconds of a second
_MOST = (1 << 63) - 1  # of Docker's numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """``id`` is the digest of the document; ``diff_ids`` those of the layers as plain archives,
    the lowest first; ``created`` in seconds since the epoch."""

    id: str
    diff_ids: tuple[str, ...]
    defaults: ImageDefaults
    platform: Platform
    created: float


def parse(raw: bytes) -> ImageConfig:
    """Read a configuration of OCI's or Docker's form. Raises ``BadDocument``."""
    document = read(raw, "image configuration")
    settings = document.get("config") or {}
    if not isinstance(settings, dict):
        raise BadDocument("image configuration", "'config' is not an object")
    return ImageConfig(
        id=digest_of(raw),
        diff_ids=_diff_ids(document),
        defaults=_defaults(settings),
        platform=_platform(document),
        created=moment(document.get("created")),
    )


def digest_of(raw: bytes) -> str:
    """The digest by which a document is known."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def compose(
    diff_id: str, defaults: ImageDefaults, platform: Platform, step: Mapping[str, str] | None = None
) -> bytes:
    """A configuration for a bare file system: equal input gives equal bytes. ``step`` is its
    history's only entry, and gives it a date."""
    settings: dict[str, Any] = {
        "Entrypoint": list(defaults.entrypoint),
        "Cmd": list(defaults.cmd),
        "Env": list(defaults.env),
        "User": defaults.user,
        "WorkingDir": defaults.working_dir,
        "Volumes": {path: {} for path in defaults.volumes},
        "ExposedPorts": {port: {} for port in defaults.exposed_ports},
        "StopSignal": defaults.stop_signal,
        "Labels": defaults.labels,
        "Healthcheck": _written(defaults.healthcheck),
    }
    document: dict[str, Any] = {
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {key: value for key, value in settings.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    if step is not None:
        document |= {"created": step["created"], "history": [step]}
        if platform.variant:  # one without a date never had it, and must keep its id
            document["variant"] = platform.variant
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def check_platform(config: ImageConfig, wanted: Platform, name: str) -> None:
    """Raises ``NoPlatform`` for an image, called ``name``, of another processor or system; one
    that does not say is let through."""
    if not is_for(config.platform, wanted):
        raise NoPlatform(name, str(wanted), [str(config.platform)])


def is_for(said: Platform, wanted: Platform) -> bool:
    """Whether an image that says this runs there."""
    same_os = said.os in ("", wanted.os)
    return same_os and said.architecture in ("", wanted.architecture)


def _diff_ids(document: Document) -> tuple[str, ...]:
    rootfs = document.get("rootfs")
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise BadDocument("image configuration", "it has no list of layer digests")
    try:
        for each in listed:
            check_digest(each)
    except BadDigest as error:
        raise BadDocument("image configuration", error.what) from error
    return tuple(listed)


def _defaults(settings: Mapping[str, Any]) -> ImageDefaults:
    return ImageDefaults(
        entrypoint=_texts(settings, "Entrypoint"),
        cmd=_texts(settings, "Cmd"),
        env=_texts(settings, "Env"),
        user=_text(settings, "User"),
        working_dir=_text(settings, "WorkingDir"),
        volumes=tuple(sorted(_keys(settings, "Volumes"))),
        exposed_ports=tuple(sorted(_keys(settings, "ExposedPorts"))),
        stop_signal=_text(settings, "StopSignal"),
        labels=_labels(settings),
        healthcheck=_healthcheck(settings.get("Healthcheck")),
    )


def _texts(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = settings.get(key) or []
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise _wrong(key)
    return tuple(value)


def _text(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key) or ""
    if not isinstance(value, str):
        raise _wrong(key)
    return value


def _keys(settings: Mapping[str, Any], key: str) -> list[str]:
    value = settings.get(key) or {}
    if not isinstance(value, dict):
        raise _wrong(key)
    return list(value)


def _labels(settings: Mapping[str, Any]) -> dict[str, str]:
    _keys(settings, "Labels")
    labels = settings.get("Labels") or {}
    if not all(isinstance(value, str) for value in labels.values()):
        raise _wrong("Labels")
    return dict(labels)


_TIMES = {
    "Interval": "interval",
    "Timeout": "timeout",
    "StartPeriod": "start_period",
    "StartInterval": "start_interval",
}


def _healthcheck(said: object) -> Healthcheck | None:
    """Docker's form: times in nanoseconds, and 0 stands for the default. Of a kind that nobody
    knows, and without a program, it is none."""
    if not said:
        return None
    if not isinstance(said, dict):
        raise _wrong("Healthcheck")
    test = _texts(said, "Test")
    if test[:1] == ("NONE",):
        return Healthcheck(test=("NONE",))
    if test[:1] not in (("CMD",), ("CMD-SHELL",)) or len(test) == 1:
        return None
    numbers = {key: said.get(key) or 0 for key in (*_TIMES, "Retries")}
    if not all(type(n) is int and 0 <= n <= _MOST for n in numbers.values()):  # a bool is none
        raise _wrong("Healthcheck")
    times = {name: numbers[key] / _NANO for key, name in _TIMES.items() if numbers[key]}
    if numbers["Retries"]:
        times["retries"] = numbers["Retries"]
    return replace(Healthcheck(test=test), **times)


def _written(check: Healthcheck | None) -> dict[str, Any]:
    if check is None:
        return {}
    times = {key: round(getattr(check, name) * _NANO) for key, name in _TIMES.items()}
    return {"Test": list(check.test), "Retries": check.retries, **times}


def _wrong(key: str) -> BadDocument:
    return BadDocument("image configuration", f"{key!r} has the wrong type")


def _platform(document: Document) -> Platform:
    words = [document.get(key) or "" for key in ("os", "architecture", "variant")]
    if not all(isinstance(word, str) for word in words):
        raise BadDocument("image configuration", "its platform is not text")
    return Platform(os=words[0][:40], architecture=words[1][:40], variant=words[2][:40])


def moment(value: object) -> float:
    """RFC 3339, as Go writes it, in seconds since the epoch; 0.0 for what cannot be read, which is
    no reason to refuse an image."""
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0
