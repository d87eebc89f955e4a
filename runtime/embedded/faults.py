"""What can go wrong with an engine's objects, in words."""

from runtime.api import Health
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
            hint=f"`trueup apply` brings what a spec names, or `trueup pull {image}`",
        )


class BindSourceMissing(Fault):
    def __init__(self, source: str, container: str) -> None:
        self.source, self.container = source, container
        super().__init__(
            f"{container} cannot be started",
            why=f"{source}, which it mounts, does not exist",
            hint="create it, or correct `volumes:`; folders of the host are never made silently",
        )


class OomScoreTooLow(Fault):
    def __init__(self, container: str, score: int) -> None:
        self.container, self.score = container, score
        super().__init__(
            f"{container} cannot have the oom_score_adj {score}",
            why="to go below one's own takes CAP_SYS_RESOURCE, which this process lacks",
            hint="set it to 0 or more",
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


class NoHealthcheck(Fault):
    """Somebody waits for the health of a container that nothing is asked of."""

    def __init__(self, container: str) -> None:
        self.container = container
        super().__init__(
            f"{container} cannot become healthy",
            why="neither the spec nor the image has a health check",
            hint="give it a `healthcheck`, or write `condition: service_started`",
        )


class Unhealthy(Fault):
    """The health check of a container failed too often in a row."""

    def __init__(self, container: str, health: Health) -> None:
        self.container, self.health = container, health
        streak = health.failing_streak
        times = "its health check failed" if streak == 1 else f"{streak} checks failed in a row"
        super().__init__(
            f"{container} is unhealthy",
            why=f"{times}; the last one {_last_check(health)}",
            hint=f"trueup logs {container}",
        )


class NotHealthy(Fault):
    """A container was not healthy in time."""

    def __init__(
        self, container: str, health: Health, seconds: float, *, restarts: int = 0
    ) -> None:
        self.container, self.health, self.restarts = container, health, restarts
        often = "`interval` and `start_interval` say how often it is asked"
        if health.checked_at:
            why = f"the last check {_last_check(health)}"
        elif restarts:
            why = f"it keeps ending before it can be asked; restarts so far: {restarts}"
            often = "its program must stay up"
        else:
            why = "no check was due"
        super().__init__(
            f"{container} is not healthy after {seconds:g} s",
            why=why,
            hint=f"trueup logs {container}; {often}",
        )


def _last_check(health: Health) -> str:
    """``ended with exit code 1, saying:`` and its last lines."""
    late = health.exit_code == -1
    ended = "did not end in time" if late else f"ended with exit code {health.exit_code}"
    lines = health.output.strip().splitlines()[-5:]
    return "\n  ".join([f"{ended}, saying:", *lines]) if lines else ended


class NotCompleted(Fault):
    """A container whose success is waited for ended otherwise."""

    def __init__(self, container: str, code: int | None) -> None:
        self.container, self.code = container, code
        ended = "for a reason unknown" if code is None else f"with exit code {code}"
        super().__init__(
            f"{container} did not complete",
            why=f"it ended {ended}",
            hint=f"trueup logs {container}",
        )


class StillRunning(Fault):
    """A container whose end is waited for did not end in time."""

    def __init__(self, container: str, seconds: float) -> None:
        self.container = container
        super().__init__(
            f"{container} did not complete",
            why=f"it still runs after {seconds:g} s",
            hint=f"trueup logs {container}",
        )


class HostInFlux(Fault):
    """Somebody goes on taking away what the host's network is being made of."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "the host's network could not be mended",
            why=f"somebody takes its links away meanwhile ({why})",
            hint="run the same command again; nothing else was touched",
        )


class NoIPv6(Fault):
    """A network shall have IPv6 on a host without."""

    def __init__(self, network: str) -> None:
        super().__init__(
            f"network {network} cannot have IPv6",
            why="this host's kernel has none (it was started with ipv6.disable=1, or built so)",
            hint="take `enable_ipv6:` out, or start the host with IPv6",
        )
