"""What can go wrong with an engine's objects, in words."""

from runtime.errors import Fault


class NoSuchContainer(Fault):
    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(
            f"there is no container {id[:12]}",
            why="it was removed meanwhile",
            hint="run the same command again",
        )


class ImageMissing(Fault):
    def __init__(self, image: str, container: str) -> None:
        self.image, self.container = image, container
        super().__init__(
            f"{container} cannot be created",
            why=f"its image {image} is not here",
            hint=f"trueup pull {image}",
        )


class BindSourceMissing(Fault):
    def __init__(self, source: str, container: str) -> None:
        self.source, self.container = source, container
        super().__init__(
            f"{container} cannot be started",
            why=f"{source}, which it mounts, does not exist",
            hint="create it, or correct `volumes:`; folders of the host are never made silently",
        )


class PortPromised(Fault):
    """Another service of this engine publishes the port."""

    def __init__(self, port: int, protocol: str, service: str, holder: str) -> None:
        self.port, self.holder = port, holder
        super().__init__(
            f"port {port}/{protocol} cannot be published for {service}",
            why=f"{holder} publishes it",
            hint="choose another host port, or take that one down",
        )


class EndedEarly(Fault):
    """A container ended before it was ready."""

    def __init__(self, container: str, code: int | None) -> None:
        self.container, self.code = container, code
        ended = "for a reason unknown" if code is None else f"with exit code {code}"
        super().__init__(
            f"{container} ended {ended} before it was ready",
            why="see its log",
            hint=f"trueup logs {container}",
        )


class NotReady(Fault):
    """A container did not listen in time."""

    def __init__(self, container: str, ports: str, seconds: float) -> None:
        self.container, self.ports = container, ports
        super().__init__(
            f"{container} is not ready",
            why=f"nothing listens on {ports} after {seconds:.0f} s",
            hint=f"trueup logs {container}; the old one goes on serving",
        )
