"""What became of the checks of a container's present run, in its bundle: whoever asks next, a
``watch`` or a waiting ``apply``, goes on from there. A new run begins without a record.
"""

from pathlib import Path

import msgspec

from runtime import durable
from runtime.api import Health, Healthcheck
from runtime.embedded.process.state import ProcessState

_RECORD, _IMAGE = "health", "healthcheck.json"


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """``pid`` and ``began`` say of which run, see ``process.run``."""

    pid: int
    began: float
    health: Health


def read(bundle: Path, process: ProcessState) -> Health:
    """The health of the run; ``starting`` while nobody has asked it."""
    try:
        found = msgspec.json.decode((bundle / _RECORD).read_bytes(), type=_Record)
    except FileNotFoundError:
        return Health()
    same = (found.pid, found.began) == (process.pid, process.started_at)
    return found.health if same else Health()


def write(bundle: Path, process: ProcessState, health: Health) -> None:
    """Replace it as a whole."""
    assert process.pid is not None
    assert process.started_at is not None
    record = _Record(pid=process.pid, began=process.started_at, health=health)
    durable.write(bundle / _RECORD, msgspec.json.encode(record), sync=False)


def keep_image(kept: Path, check: Healthcheck | None) -> None:
    """Keep the image's own check beside the container, so that looking needs no image."""
    if check is not None:
        durable.write(kept / _IMAGE, msgspec.json.encode(check), sync=False)


def of_image(kept: Path) -> Healthcheck | None:
    """The check of the container's image; None for none."""
    try:
        return msgspec.json.decode((kept / _IMAGE).read_bytes(), type=Healthcheck)
    except FileNotFoundError:
        return None
