"""A step's action as the call of the runtime that does it."""

from collections.abc import Sequence
from typing import assert_never

from reconciler.executor import gate, replacement
from reconciler.plan import (
    Action,
    AdoptProject,
    AwaitCompleted,
    AwaitHealthy,
    AwaitReady,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    ForgetProject,
    Mend,
    PullImage,
    PushImage,
    Register,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    Serve,
    StartContainer,
    StopContainer,
    TagImage,
    Unregister,
    UpdateContainer,
)
from runtime.api import RegistryAccess, Report, Runtime


def perform(
    action: Action,
    project: str,
    runtime: Runtime,
    registries: Sequence[RegistryAccess],
    report: Report,
) -> None:
    """Do it; raises what the runtime raises."""
    match action:
        case AdoptProject():
            runtime.adopt_project(project, action.spec_path)
        case ForgetProject():
            runtime.forget_project(project)
        case PullImage():
            runtime.images.pull(action.image, registries, report)
        case TagImage():
            runtime.images.tag(action.name, action.reference)
        case PushImage():
            runtime.images.push(action.reference, registries, report)
        case CreateNetwork():
            runtime.create_network(action.network)
        case RemoveNetwork():
            runtime.remove_network(project, action.name)
        case CreateVolume():
            runtime.create_volume(action.volume)
        case RemoveVolume():
            runtime.remove_volume(project, action.name)
        case Register():
            runtime.register(project, action.services)
        case Unregister():
            runtime.unregister(project, action.names)
        case CreateContainer():
            runtime.create(action.key, action.generation, action.spec)
        case StartContainer():
            replacement.start(action, runtime)
        case AwaitReady() | AwaitHealthy():
            gate.await_passed(action, project, runtime, report)
        case AwaitCompleted():
            runtime.await_completed(action.id, None)
        case Serve():
            runtime.serve(project, action.service, action.ids)
        case UpdateContainer():
            runtime.update(action.id, action.spec)
        case Mend():
            runtime.mend(action.id)
        case StopContainer():
            runtime.stop(action.id)
        case RemoveContainer():
            runtime.remove(action.id)
        case _:
            assert_never(action)
