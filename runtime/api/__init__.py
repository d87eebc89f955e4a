"""What the reconciler and every runtime say to each other: values, and one protocol of verbs.

Everything here is plain, immutable and serialisable (msgspec): the same values are compared
by the planner, written into plans, and kept beside the objects that they describe as
``applied``. Nothing here knows YAML, plans or a backend.

Three nouns carry a container:

* a *service* is what others see of it: a name, one stable address, published ports;
* a *generation* is one concrete container of it, with an id, a writable layer and a process;
* ``serve`` leads the service to the generation that shall answer.
"""

import msgspec

from runtime.api.container import (
    DEFAULT_PIDS_LIMIT,
    Condition,
    ContainerSpec,
    Dependency,
    Device,
    Logging,
    OnFailure,
    RestartKind,
    RestartPolicy,
    SecurityOptions,
    Ulimit,
    UpdateOrder,
    UpdatePolicy,
)
from runtime.api.execution import (
    ExecSpec,
    ProcessRow,
    Stdio,
)
from runtime.api.finding import (
    Finding,
    Verdict,
)
from runtime.api.health import (
    Health,
    Healthcheck,
    HealthStatus,
)
from runtime.api.identity import (
    ContainerKey,
    container_id,
)
from runtime.api.image import (
    ArchiveSource,
    ImageDefaults,
    ImageSource,
    ImageSpec,
    PullPolicy,
    RegistryAccess,
    RegistrySource,
    RootfsSource,
)
from runtime.api.images import (
    ArchiveForm,
    Damage,
    HistoryRow,
    ImageDetails,
    Images,
    ImageSummary,
    Loaded,
    Registries,
    Removal,
    Resolved,
    SearchHit,
)
from runtime.api.mount import (
    AnonymousMount,
    BindMount,
    Mount,
    TmpfsMount,
    VolumeMount,
)
from runtime.api.network import (
    Attachment,
    NetworkSpec,
)
from runtime.api.observed import (
    Defect,
    DefectKind,
    Limits,
    Observed,
    ObservedContainer,
    ObservedImage,
    ObservedNetwork,
    ObservedService,
    ObservedVolume,
    Phase,
    PortHolder,
    PublishedPort,
)
from runtime.api.protocol import (
    Runtime,
)
from runtime.api.report import (
    LogLine,
    Progress,
    Query,
    Report,
    VolumeUse,
)
from runtime.api.service import (
    PortSpec,
    ServiceSpec,
    span,
)
from runtime.api.volume import (
    VolumeSpec,
)
from runtime.part import (
    PartVersion,
)

__all__ = [
    "DEFAULT_PIDS_LIMIT",
    "AnonymousMount",
    "ArchiveForm",
    "ArchiveSource",
    "Attachment",
    "BindMount",
    "Condition",
    "ContainerKey",
    "ContainerSpec",
    "Damage",
    "Defect",
    "DefectKind",
    "Dependency",
    "Device",
    "ExecSpec",
    "Finding",
    "Health",
    "HealthStatus",
    "Healthcheck",
    "HistoryRow",
    "ImageDefaults",
    "ImageDetails",
    "ImageSource",
    "ImageSpec",
    "ImageSummary",
    "Images",
    "Limits",
    "Loaded",
    "LogLine",
    "Logging",
    "Mount",
    "NetworkSpec",
    "Observed",
    "ObservedContainer",
    "ObservedImage",
    "ObservedNetwork",
    "ObservedService",
    "ObservedVolume",
    "OnFailure",
    "PartVersion",
    "Phase",
    "PortHolder",
    "PortSpec",
    "ProcessRow",
    "Progress",
    "PublishedPort",
    "PullPolicy",
    "Query",
    "Registries",
    "RegistryAccess",
    "RegistrySource",
    "Removal",
    "Report",
    "Resolved",
    "RestartKind",
    "RestartPolicy",
    "RootfsSource",
    "Runtime",
    "SearchHit",
    "SecurityOptions",
    "ServiceSpec",
    "Stdio",
    "TmpfsMount",
    "Ulimit",
    "UpdateOrder",
    "UpdatePolicy",
    "Verdict",
    "VolumeMount",
    "VolumeSpec",
    "VolumeUse",
    "container_id",
    "encode",
    "span",
]


def encode(value: msgspec.Struct) -> bytes:
    """JSON with sorted keys, so that equal values give equal bytes."""
    return msgspec.json.encode(value, order="sorted")
