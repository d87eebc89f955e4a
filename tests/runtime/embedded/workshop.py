"""An engine with one project, and containers made from values without a spec file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runtime.api import (
    ContainerKey,
    ContainerSpec,
    ImageSpec,
    NetworkSpec,
    ObservedContainer,
    Query,
    RegistryAccess,
    RegistrySource,
    ServiceSpec,
    VolumeSpec,
    container_id,
)
from runtime.embedded.engine import Engine
from runtime.embedded.paths import Paths
from tests.conftest import Images, fresh_instance
from tests.eventually import eventually
from tests.hosts import Host
from tests.scenarios.stage import within

PROJECT = "shop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A generation that was made here."""

    workshop: "Workshop"
    id: str
    spec: ContainerSpec

    @property
    def seen(self) -> ObservedContainer:
        return next(each for each in self.workshop.engine.containers() if each.id == self.id)

    @property
    def pid(self) -> int:
        pid = self.seen.pid
        assert pid is not None
        return pid

    @property
    def bundle(self) -> Path:
        return self.workshop.paths.bundle(self.id)

    @property
    def kept(self) -> Path:
        return self.workshop.paths.container(self.id)

    def says(self, script: str) -> str:
        """What a shell in its namespaces says."""
        return within(self.pid, "sh", "-c", script).strip()

    def log(self) -> str:
        lines = self.workshop.engine.logs(self.id, tail=None, follow=False)
        return b"".join(line.text for line in lines).decode()

    def said(self) -> str:
        """All that it said, once it has ended."""
        eventually(lambda: self.seen.pid is None)
        return self.log().strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    engine: Engine
    paths: Paths
    image: str
    made: dict[str, int] = field(default_factory=dict)

    def pull(self, reference: str) -> str:
        image = ImageSpec(name=reference, source=RegistrySource(reference=reference))
        access = RegistryAccess(host=reference.partition("/")[0], insecure=True)
        self.engine.images.pull(image, [access], lambda progress: None)
        return reference

    def create(self, name: str, *command: str, **fields: object) -> Made:
        """A new generation, not started; without ``command`` it sleeps."""
        spec = ContainerSpec(
            **{
                "image": self.image,
                "command": command or ("sleep", "1000"),
                "stop_signal": "SIGKILL",
                **fields,
            }  # type: ignore[arg-type]
        )
        self.engine.register(
            PROJECT, [ServiceSpec(project=PROJECT, name=name, networks=spec.networks)]
        )
        number = self.made.get(name, 0) + 1
        self.made[name] = number
        key = ContainerKey(project=PROJECT, name=name)
        self.engine.create(key, number, spec)
        return Made(workshop=self, id=container_id(key, number), spec=spec)

    def start(self, name: str, *command: str, **fields: object) -> Made:
        made = self.create(name, *command, **fields)
        self.engine.start(made.id)
        return made

    def volume(self, name: str, **fields: object) -> VolumeSpec:
        spec = VolumeSpec(project=PROJECT, name=name, **fields)  # type: ignore[arg-type]
        self.engine.create_volume(spec)
        return spec

    def volume_data(self, name: str) -> Path:
        found = self.engine.observe(Query(project=PROJECT)).volumes[name]
        return Path(found.path)

    def clear(self) -> None:
        """Everything of the project goes."""
        observed = self.engine.observe(Query(project=PROJECT))
        for container in observed.containers:
            self.engine.remove(container.id)
        self.engine.unregister(PROJECT, list(observed.services))
        for network in observed.networks:
            self.engine.remove_network(PROJECT, network)
        for volume in observed.volumes:
            self.engine.remove_volume(PROJECT, volume)
        self.engine.forget_project(PROJECT)


@contextmanager
def make_workshop(host: Host, images: Images) -> Iterator[Workshop]:
    with fresh_instance(host) as root, host.inside():
        paths = Paths.below(root)
        engine = Engine(paths)
        workshop = Workshop(engine=engine, paths=paths, image=images.busybox)
        try:
            engine.adopt_project(PROJECT, "/nowhere")
            workshop.pull(images.busybox)
            engine.create_network(NetworkSpec(project=PROJECT, name="default"))
            yield workshop
        finally:
            workshop.clear()
            engine.close()
