"""What confines a container beside its namespaces: seccomp, AppArmor, masked paths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.api import ContainerSpec
from runtime.embedded.bundle import seccomp
from runtime.errors import Fault

_UNCONFINED = "unconfined"
_APPARMOR = Path("/sys/module/apparmor/parameters/enabled")


class NoAppArmor(Fault):
    """A profile is named, and the host has no AppArmor."""

    def __init__(self, profile: str, container: str) -> None:
        self.profile, self.container = profile, container
        super().__init__(
            f"{container} cannot be confined by the AppArmor profile {profile}",
            why="this host's kernel runs without AppArmor",
            hint="take it out of `security_opt:`, or boot with AppArmor",
        )


def filter_of(
    spec: ContainerSpec, caps: Sequence[str], *, machine: str, kernel: tuple[int, int]
) -> dict[str, Any] | None:
    """The system calls that it may make, None for all. Raises faults of ``seccomp``."""
    asked = spec.security.seccomp
    if asked == _UNCONFINED or (asked is None and spec.privileged):
        return None
    profile = seccomp.load() if asked is None else seccomp.read(Path(asked))
    return seccomp.resolve(profile, caps, machine=machine, kernel=kernel)


def gains_nothing(spec: ContainerSpec) -> bool:
    """Whether its programs get no more rights by execve(2), as from set-user-id files: so where
    nothing is said, but for who has all rights anyway."""
    asked = spec.security.no_new_privileges
    return not spec.privileged if asked is None else asked


def apparmor(spec: ContainerSpec, container: str, enabled: Path = _APPARMOR) -> str:
    """The profile to put it under, "" for none. Raises ``NoAppArmor``."""
    asked = spec.security.apparmor
    if asked is None:
        return ""
    try:
        works = enabled.read_text().startswith("Y")
    except FileNotFoundError:
        works = False
    if works:
        return asked
    if asked != _UNCONFINED:
        raise NoAppArmor(asked, container)
    return ""
