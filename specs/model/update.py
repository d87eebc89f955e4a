"""`update`: how a new container takes the place of the old one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from specs.fields import Effect, Spec, about
from specs.notations import Seconds, choice, count

_IN_PLACE: Final = Effect.IN_PLACE


class UpdateOrder(StrEnum):
    """Which of the two runs alone for a while: the old one, or none."""

    START_FIRST = "start-first"
    STOP_FIRST = "stop-first"


class OnFailure(StrEnum):
    """What follows when the new one does not come up."""

    ROLLBACK = "rollback"
    PAUSE = "pause"


Order = Annotated[UpdateOrder, *choice(UpdateOrder, "an order of updates")]
Parallelism = Annotated[int, *count(0, 1000)]


class Update(Spec):
    """How a new container takes the place of the old one."""

    noun: ClassVar[str] = "`update`"
    renamed: ClassVar[Mapping[str, str]] = {
        "failure_action": "on_failure", "monitor": "healthy_within",
    }  # fmt: skip

    order: Order | None = about(
        "`start-first` or `stop-first`; none: whichever is safe.", _IN_PLACE, default=None
    )
    parallelism: Parallelism = about("Replicas at a time, 0 for all.", _IN_PLACE, default=1)
    healthy_within: Annotated[Seconds, Field(gt=0, le=86_400)] = about(
        "Time in which the new one must become healthy.", _IN_PLACE, default=60.0
    )
    on_failure: Annotated[OnFailure, *choice(OnFailure, "a way to go on")] = about(
        "`rollback`: the old one answers again; `pause`: what was begun stays.",
        _IN_PLACE,
        default=OnFailure.ROLLBACK,
    )
