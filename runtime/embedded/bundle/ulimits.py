"""Resource limits of a container's process, setrlimit(2)."""

import resource
from collections.abc import Mapping, Sequence
from functools import cache

from runtime.api import Ulimit
from runtime.embedded.bundle.config import Rlimit, default_rlimits
from runtime.errors import Fault


class UnknownUlimit(Fault):
    """``ulimits`` names what this kernel does not limit."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name} is no resource limit",
            hint=f"one of {', '.join(sorted(hard_limits())).lower()}",
        )


class UlimitTooHigh(Fault):
    """Above our own hard limit, and we lack CAP_SYS_RESOURCE to raise it."""

    def __init__(self, name: str, wanted: int, most: int) -> None:
        self.name, self.wanted, self.most = name, wanted, most
        shown = "unlimited" if wanted < 0 else str(wanted)
        super().__init__(
            f"the limit {name} cannot be {shown}",
            why=f"{most} is the most that this process may give (it lacks CAP_SYS_RESOURCE)",
            hint=f"set {name} to at most {most}, or start trueup with a higher limit: ulimit -H",
        )


@cache
def hard_limits() -> dict[str, int]:
    """Our own, by name without RLIMIT_; -1 is unlimited."""
    names = (name for name in dir(resource) if name.startswith("RLIMIT_"))
    # OFILE is another name of NOFILE that OCI runtimes do not know.
    numbers = {name.removeprefix("RLIMIT_"): getattr(resource, name) for name in names}
    return {n: resource.getrlimit(number)[1] for n, number in numbers.items() if n != "OFILE"}


def resolve(
    asked: Sequence[Ulimit], hard: Mapping[str, int], *, may_raise: bool
) -> tuple[Rlimit, ...]:
    """The limits asked for, and the engine's own for what is not named. ``may_raise``: above
    ``hard``, too. Raises ``UnknownUlimit`` and ``UlimitTooHigh``."""
    found = {each.name: each for each in default_rlimits(dict(hard))}
    for each in asked:
        name = each.name.upper()
        if name not in hard:
            raise UnknownUlimit(each.name)
        if not may_raise and _above(each.hard, hard[name]):
            raise UlimitTooHigh(each.name, each.hard, hard[name])
        found[name] = Rlimit(name=name, soft=each.soft, hard=each.hard)
    return tuple(found[name] for name in sorted(found))


def _above(wanted: int, most: int) -> bool:
    return most >= 0 and (wanted < 0 or wanted > most)
