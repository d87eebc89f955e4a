"""A plan: what shall be done to a project, as plain data.

`Plan.steps` is a directed acyclic graph of actions, one per verb of the Runtime protocol;
`Plan.changes` tells people what becomes of each object and why. The same inputs give the same
bytes. A plan without steps means that the project is as its spec says.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from runtime.api import (
    ContainerKey,
    ContainerSpec,
    ImageSpec,
    NetworkSpec,
    PortSpec,
    ServiceSpec,
    VolumeSpec,
)

HIDDEN = "(hidden)"


# --- actions: the verbs of runtime.api.Runtime ------------------------------------------------


class AdoptProject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="adopt"):
    spec_path: str


class ForgetProject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="forget"):
    pass


class PullImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="pull"):
    image: ImageSpec


class TagImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="tag"):
    """``reference`` shall mean the image of that name."""

    name: str
    reference: str


class PushImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="push"):
    """The registry of ``reference`` shall have what that means here."""

    reference: str


class CreateNetwork(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="create-network"
):
    network: NetworkSpec


class RemoveNetwork(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="remove-network"
):
    name: str


class CreateVolume(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="create-volume"
):
    volume: VolumeSpec


class RemoveVolume(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="remove-volume"
):
    name: str


class Register(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="register"):
    services: tuple[ServiceSpec, ...]


class Unregister(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="unregister"):
    names: tuple[str, ...]


class CreateContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="create"):
    key: ContainerKey
    generation: int
    spec: ContainerSpec


class StartContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="start"):
    """``fallback`` is the generation that was stopped for it and runs again should it not start,
    "" for none."""

    id: str
    fallback: str = ""


class Rollback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gate that was not passed leads back to: the new generation stops, ``start`` runs
    again ("": the old one never stopped), ``service`` leads to ``ids`` again ("": it still does).
    """

    start: str = ""
    service: str = ""
    ids: tuple[str, ...] = ()


class AwaitReady(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="await-ready"):
    """It listens on these ports within ``timeout`` seconds; of a container whose image has a health
    check, it is healthy within ``healthy_within`` instead. ``alone``: no other one runs
    meanwhile, and without a health check it need only outlive its start."""

    id: str
    ports: tuple[PortSpec, ...]
    timeout: float
    healthy_within: float
    alone: bool = False
    rollback: Rollback | None = None


class AwaitHealthy(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="await-healthy"
):
    """``timeout`` in seconds."""

    id: str
    timeout: float
    rollback: Rollback | None = None


class AwaitCompleted(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="await-completed"
):
    """It ends, with exit code 0."""

    id: str


class Serve(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="serve"):
    service: str
    ids: tuple[str, ...]


class UpdateContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="update"):
    id: str
    spec: ContainerSpec


class Mend(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="mend"):
    """``id`` None mends the host's part."""

    id: str | None = None


class StopContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="stop"):
    id: str


class RemoveContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="remove"):
    id: str


Action = (
    AdoptProject
    | ForgetProject
    | PullImage
    | TagImage
    | PushImage
    | CreateNetwork
    | RemoveNetwork
    | CreateVolume
    | RemoveVolume
    | Register
    | Unregister
    | CreateContainer
    | StartContainer
    | AwaitReady
    | AwaitHealthy
    | AwaitCompleted
    | Serve
    | UpdateContainer
    | Mend
    | StopContainer
    | RemoveContainer
)


def verb(action: Action) -> str:
    """The action in a word, for lists and logs: ``pull``, ``create``, ``await``."""
    return str(action.__struct_config__.tag).partition("-")[0]


# --- steps and changes ------------------------------------------------------------------------


class Impact(StrEnum):
    """The worst that a step does to whoever uses the object."""

    NONE = "none"
    RESTART = "restart"  # its process is replaced while another one answers
    DOWNTIME = "downtime"  # for a moment, or for good, nobody answers
    DATA = "data"  # data is deleted


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One action. ``after`` holds the numbers of the steps that must be done before, ``ended`` of
    those that must have come to an end, failed or not; ``object`` names what it acts on,
    ``reasons`` say why, ``places`` are file:line."""

    number: int
    action: Action
    object: str
    after: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    impact: Impact = Impact.NONE


class ChangeKind(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    REPLACE = "replace"
    REMOVE = "remove"


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of one object, for people; ``object`` as in ``container web``. ``in_place``:
    whatever runs goes on running."""

    kind: ChangeKind
    object: str
    reasons: tuple[str, ...] = ()
    impact: Impact = Impact.NONE
    in_place: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``notes`` report what is left alone; ``problems`` forbid to begin. ``fingerprint`` is of
    the world that the plan was made for."""

    project: str
    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    fingerprint: str = ""

    @property
    def converged(self) -> bool:
        return not self.steps and not self.problems

    @property
    def impact(self) -> Impact:
        """The worst impact of all steps."""
        return worst(step.impact for step in self.steps)


def worst(impacts: Iterable[Impact]) -> Impact:
    """The gravest of them; none is NONE."""
    return max(impacts, key=_SEVERITY.index, default=Impact.NONE)


_SEVERITY = tuple(Impact)


# --- as text ----------------------------------------------------------------------------------


def encode(plan: Plan) -> bytes:
    """JSON with sorted keys. It holds secret values: for showing and keeping, see `redacted`."""
    return msgspec.json.encode(plan, order="sorted")


def decode(text: bytes) -> Plan:
    """Raises msgspec.DecodeError, msgspec.ValidationError."""
    return msgspec.json.decode(text, type=Plan)


def redacted(plan: Plan) -> Plan:
    """The same plan without the values of secret variables: to be shown and journalled."""
    steps = (msgspec.structs.replace(step, action=_hide(step.action)) for step in plan.steps)
    return msgspec.structs.replace(plan, steps=tuple(steps))


def _hide(action: Action) -> Action:
    if not isinstance(action, CreateContainer | UpdateContainer):
        return action
    spec = action.spec
    if not spec.secret_environment:
        return action
    secrets = dict.fromkeys(spec.secret_environment, HIDDEN)
    shown = {key: secrets.get(key, value) for key, value in spec.environment.items()}
    return msgspec.structs.replace(action, spec=msgspec.structs.replace(spec, environment=shown))
