"""The system calls that a container may make: the distribution's profile, resolved by us.

The profile's ``includes`` and ``excludes`` (by architecture, capability and kernel) are an
extension of containers-common; crun ignores them silently, so a rule for another machine
would be applied here. What we hand on is plain runtime-spec, config-linux.md "Seccomp".
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from runtime.errors import Fault

PLACES = (Path("/etc/containers/seccomp.json"), Path("/usr/share/containers/seccomp.json"))

# uname -m -> the name in `includes`, the name in `archMap` (libseccomp).
_ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}

Profile = Mapping[str, Any]


class NoSeccompProfile(Fault):
    """The distribution's profile is not installed: containers would run without any filter."""

    def __init__(self, places: Sequence[Path]) -> None:
        super().__init__(
            "no seccomp profile",
            why=f"none of {', '.join(map(str, places))} exists",
            hint="apt-get install golang-github-containers-common",
        )


class BrokenSeccompProfile(Fault):
    """The file is there and is no profile."""

    def __init__(self, path: Path, cause: str) -> None:
        self.path = path
        super().__init__(
            f"{path} is not a seccomp profile",
            why=cause,
            hint="apt-get install --reinstall golang-github-containers-common"
            if path in PLACES
            else "it must be a JSON document of the form that Docker takes (`--security-opt`)",
        )


def find(places: Sequence[Path] = PLACES) -> Path | None:
    """The file that counts: the administrator's before the distribution's."""
    return next((place for place in places if place.is_file()), None)


@cache
def load(places: tuple[Path, ...] = PLACES) -> Profile:
    """The profile as shipped, read once per process (0.1 ms).

    Raises ``NoSeccompProfile`` or ``BrokenSeccompProfile``.
    """
    path = find(places)
    if path is None:
        raise NoSeccompProfile(places)
    return read(path)


def read(path: Path) -> Profile:
    """A profile of one's own. Raises ``BrokenSeccompProfile``."""
    try:
        profile = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise BrokenSeccompProfile(path, str(error.strerror)) from error
    except msgspec.DecodeError as error:
        raise BrokenSeccompProfile(path, str(error)) from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise BrokenSeccompProfile(path, "it has no defaultAction")
    return profile


def resolve(
    profile: Profile,
    capabilities: Sequence[str],
    *,
    machine: str,
    kernel: tuple[int, int],
) -> dict[str, Any]:
    """The runtime-spec form of ``profile`` for a container with these ``CAP_`` capabilities.

    ``machine`` is uname's, ``kernel`` its major and minor version.
    """
    short, long = _ARCHITECTURES.get(machine, (machine, ""))
    caps = frozenset(capabilities)
    resolved: dict[str, Any] = {
        "defaultAction": profile["defaultAction"],
        "architectures": _architectures(profile, long),
        "syscalls": [
            _rule(rule)
            for rule in profile.get("syscalls") or ()
            if _applies(rule, caps, short, kernel)
        ],
    }
    if profile.get("defaultErrnoRet") is not None:
        resolved["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return resolved


def _architectures(profile: Profile, long: str) -> list[str]:
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == long:
            return [long, *(entry.get("subArchitectures") or ())]
    return [long] if long else []


def _applies(rule: Profile, caps: frozenset[str], arch: str, kernel: tuple[int, int]) -> bool:
    """All of ``includes`` must hold, nothing of ``excludes`` may (containers/common, seccomp)."""
    include, exclude = rule.get("includes") or {}, rule.get("excludes") or {}
    return (
        caps.issuperset(include.get("caps") or ())
        and arch in (include.get("arches") or (arch,))
        and kernel >= _version(include.get("minKernel"))
        and caps.isdisjoint(exclude.get("caps") or ())
        and arch not in (exclude.get("arches") or ())
        and not (exclude.get("minKernel") and kernel >= _version(exclude["minKernel"]))
    )


def _version(text: str | None) -> tuple[int, int]:
    major, _, minor = (text or "0.0").partition(".")
    return int(major), int(minor or 0)


def _rule(rule: Profile) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "names": rule.get("names") or [rule["name"]],
        "action": rule["action"],
    }
    if rule.get("errnoRet") is not None:
        plain["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        plain["args"] = [_argument(argument) for argument in rule["args"]]
    return plain


def _argument(argument: Profile) -> dict[str, Any]:
    return {
        "index": argument["index"],
        "value": argument["value"],
        "valueTwo": argument.get("valueTwo", 0),
        "op": argument["op"],
    }
