"""`deploy`: limits, replicas, restarts and updates, as Compose writes them for a service."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from specs.fields import Effect, Spec, about
from specs.model.limits import Cpus, MemoryLimit, PidsLimit, Reservation
from specs.model.pairs import Labels
from specs.model.restart import Restart, RestartKind
from specs.model.update import OnFailure, Order, Parallelism
from specs.notations import Ignored, Seconds, choice, count, scalar
from specs.scalars import Unreadable

_IN_PLACE: Final = Effect.IN_PLACE
Replicas = Annotated[int, *count(0, 1000)]


def _ignored(description: str = "Without effect.") -> Any:
    return about(description, _IN_PLACE, default=False)


class ResourceLimits(Spec):
    """`limits` of `deploy`, which are not exceeded."""

    noun: ClassVar[str] = "`limits`"

    cpus: Cpus | None = about("As `cpus`.", _IN_PLACE, default=None)
    memory: MemoryLimit | None = about("As `mem_limit`.", _IN_PLACE, default=None)
    pids: PidsLimit | None = about("As `pids_limit`.", _IN_PLACE, default=None)


class Reservations(Spec):
    """`reservations` of `deploy`: what is kept for it."""

    noun: ClassVar[str] = "`reservations`"
    not_yet: ClassVar[frozenset[str]] = frozenset({"devices", "generic_resources"})

    cpus: Ignored = _ignored()
    memory: Reservation | None = about("As `mem_reservation`.", _IN_PLACE, default=None)


class Resources(Spec):
    """`resources` of `deploy`."""

    noun: ClassVar[str] = "`resources`"

    limits: ResourceLimits = about(
        "What is not exceeded.", _IN_PLACE, default_factory=ResourceLimits
    )
    reservations: Reservations = about(
        "What is kept for it.", _IN_PLACE, default_factory=Reservations
    )


class RestartCondition(StrEnum):
    """After which ends it is started again."""

    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


class DeployRestart(Spec):
    """What follows when the process ends; it goes before `restart`."""

    noun: ClassVar[str] = "`restart_policy`"

    condition: Annotated[RestartCondition, *choice(RestartCondition, "a condition")] = about(
        "`none`, `on-failure` or `any`.", _IN_PLACE, default=RestartCondition.ANY
    )
    max_attempts: Annotated[int, *count(0, 1_000_000)] | None = about(
        "How often, with on-failure.", _IN_PLACE, default=None
    )
    delay: Ignored = _ignored("Without effect: the engine's own back-off holds.")
    window: Ignored = _ignored()

    @property
    def policy(self) -> Restart:
        """The same as a restart policy."""
        kinds = {
            RestartCondition.NONE: RestartKind.NO,
            RestartCondition.ON_FAILURE: RestartKind.ON_FAILURE,
            RestartCondition.ANY: RestartKind.ALWAYS,
        }
        kind = kinds[self.condition]
        retries = self.max_attempts if kind is RestartKind.ON_FAILURE else None
        return Restart(kind=kind, max_retries=retries or None)


class FailureAction(StrEnum):
    """What follows when a new container does not come up."""

    ROLLBACK = "rollback"
    PAUSE = "pause"
    CONTINUE = "continue"


class UpdateConfig(Spec):
    """How new containers take the place of old ones."""

    noun: ClassVar[str] = "`update_config`"

    parallelism: Parallelism = about("Replicas at a time, 0 for all.", _IN_PLACE, default=1)
    order: Order | None = about("`start-first` or `stop-first`.", _IN_PLACE, default=None)
    failure_action: Annotated[FailureAction, *choice(FailureAction, "a way to go on")] = about(
        "`rollback` or `pause`; `continue` means the same as `pause`.",
        _IN_PLACE,
        default=FailureAction.ROLLBACK,
    )
    monitor: Annotated[Seconds, Field(ge=0, le=86_400)] | None = about(
        "Without effect: see `update: {healthy_within: …}`.", _IN_PLACE, default=None
    )
    delay: Ignored = _ignored()
    max_failure_ratio: Ignored = _ignored()

    @property
    def on_failure(self) -> OnFailure:
        """The same in words of `update`."""
        kept = self.failure_action is FailureAction.ROLLBACK
        return OnFailure.ROLLBACK if kept else OnFailure.PAUSE


def _mode(text: str) -> str:
    if text != "replicated":
        known = text in ("global", "replicated-job", "global-job")
        reason = "is a mode of Swarm only" if known else "is not a mode"
        raise Unreadable("replicated", reason=reason)
    return text


class Deploy(Spec):
    """What Compose writes for platforms; the parts that one machine can carry out."""

    noun: ClassVar[str] = "`deploy`"

    mode: Annotated[str, *scalar(_mode, "replicated", {"const": "replicated"})] = about(
        "Only `replicated`.", _IN_PLACE, default="replicated"
    )
    replicas: Replicas | None = about("As `replicas`.", _IN_PLACE, default=None)
    labels: Labels = about(
        "Without effect: labels of a Swarm service.", _IN_PLACE, default_factory=dict
    )
    resources: Resources = about("Limits and reservations.", _IN_PLACE, default_factory=Resources)
    restart_policy: DeployRestart | None = about(
        "What follows when the process ends; goes before `restart`.", _IN_PLACE, default=None
    )
    update_config: UpdateConfig | None = about(
        "How new containers take the place of old ones.", _IN_PLACE, default=None
    )
    rollback_config: Ignored = _ignored()
    placement: Ignored = _ignored("Without effect: only for Swarm.")
    endpoint_mode: Ignored = _ignored("Without effect: only for Swarm.")
