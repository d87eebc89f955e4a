"""A part of a runtime and which version it is; light, as `version` starts with it."""

from typing import NamedTuple


class PartVersion(NamedTuple):
    """A row of ``version``."""

    part: str
    version: str
