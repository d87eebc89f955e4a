"""What ``image inspect`` tells, in Docker's form.

https://docs.docker.com/reference/api/engine/version/v1.47/#tag/Image/operation/ImageInspect
"""

from reconciler.views.containers import image as called
from reconciler.views.inspect import Document, healthcheck, moment
from runtime.api import ImageDefaults, ImageDetails


def document(image: ImageDetails) -> Document:
    """One image; what specs call it stands under ``Trueup``."""
    system, _, rest = image.platform.partition("/")
    architecture, _, variant = rest.partition("/")
    return {
        "Id": image.id,
        "RepoTags": [called(each) for each in image.references if "@" not in each],
        "RepoDigests": [called(each) for each in image.digests],
        "Comment": image.comment,
        "Created": moment(image.created),
        "Author": image.author,
        "Architecture": architecture,
        **({"Variant": variant} if variant else {}),
        "Os": system,
        "Size": image.size,
        "RootFS": {"Type": "layers", "Layers": list(image.layers)},
        "Config": _config(image.defaults),
        "Trueup": {"Names": list(image.names)},
    }


def _config(said: ImageDefaults) -> Document:
    """What is not said is null, or is not there, where Docker has it so."""
    config: Document = {
        "User": said.user,
        "Env": list(said.env) or None,
        "Cmd": list(said.cmd) or None,
        "Entrypoint": list(said.entrypoint) or None,
        "Volumes": {each: {} for each in said.volumes} or None,
        "WorkingDir": said.working_dir,
        "Labels": dict(said.labels) or None,
    }
    if said.exposed_ports:
        config["ExposedPorts"] = {each: {} for each in said.exposed_ports}
    if said.stop_signal:
        config["StopSignal"] = said.stop_signal
    if said.healthcheck is not None:
        config["Healthcheck"] = healthcheck(said.healthcheck)
    return config
