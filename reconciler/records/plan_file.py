"""A plan that was kept in a file, to be looked at and carried out later.

It holds all that its steps need, the values of secret variables included, and digests of the world
that it was made for: it is carried out only while that world is still there.
"""

from pathlib import Path

import msgspec

from reconciler.plan import Plan
from runtime import durable
from runtime.api import Query, encode
from runtime.errors import Fault

FORMAT = 2
_AGAIN = "make a new one with `trueup plan -o FILE`"


class PlanFileBroken(Fault):
    """It cannot be read, or is none."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path} holds no plan that can be read", why=why, hint=_AGAIN)


class PlanFileForeign(Fault):
    """Another trueup wrote it."""

    def __init__(self, path: Path, form: int) -> None:
        self.path, self.form = path, form
        super().__init__(
            f"{path} was written by another version of trueup",
            why=f"its format is {form}, this trueup knows {FORMAT}",
            hint=_AGAIN,
        )


class PlanNotKept(Fault):
    """The file cannot be written."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"the plan cannot be kept in {path}", why=why)


class KeptPlan(msgspec.Struct, frozen=True, kw_only=True):
    """``spec`` is the absolute path of the spec, ``world`` the digests of the objects that the
    plan depends on; ``query`` is what was asked about them, without access to registries, which
    may hold passwords."""

    spec: str
    plan: Plan
    world: dict[str, str]
    query: Query
    format: int = FORMAT


class _Form(msgspec.Struct):
    format: int


def write(path: Path, kept: KeptPlan) -> None:
    """Put it into a file that nobody else may read. Raises ``PlanNotKept``, ``DiskFull``."""
    try:
        durable.write(path, encode(kept), mode=0o600)
    except OSError as error:
        raise PlanNotKept(path, error.strerror or str(error)) from error


def read(path: Path) -> KeptPlan:
    """Raises ``PlanFileBroken``, ``PlanFileForeign``."""
    try:
        text = path.read_bytes()
        form = msgspec.json.decode(text, type=_Form).format
        if form != FORMAT:
            raise PlanFileForeign(path, form)
        return msgspec.json.decode(text, type=KeptPlan)
    except OSError as error:
        raise PlanFileBroken(path, error.strerror or str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlanFileBroken(path, str(error)) from error
