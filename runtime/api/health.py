"""Health checks: what is asked of a container, and what came of it."""

from enum import StrEnum

import msgspec


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A program that tells whether the container is well (OCI image-spec, Docker's extension).

    ``test`` is ("CMD", program, arguments ...), ("CMD-SHELL", line) or ("NONE",), which disables
    the image's own; () keeps the image's test and changes the rest. Times in seconds: after
    ``retries`` failures in a row it is unhealthy, failures within ``start_period`` do not count,
    and in that time it is asked every ``start_interval``.
    """

    test: tuple[str, ...] = ()
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0

    @property
    def disabled(self) -> bool:
        return self.test == ("NONE",)

    def wait(self, health: "Health", started_at: float, now: float) -> float:
        """Seconds from ``now`` to the next check, 0 when it is due; times since the epoch. The
        first comes an interval after the start, each further one an interval after the last."""
        last = started_at if health.checked_at is None else health.checked_at
        starting = health.status is HealthStatus.STARTING
        early = starting and last - started_at < self.start_period
        interval = self.start_interval if early else self.interval
        # A clock that was set back must not put the check off.
        return min(max(0.0, last + interval - now), interval)


class HealthStatus(StrEnum):
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one run of a container. ``checked_at`` is the end of the last check in seconds
    since the epoch, None before the first; ``output`` is the last bytes that it said, for people;
    ``exit_code`` -1: it did not end in time."""

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    checked_at: float | None = None
    exit_code: int | None = None
    output: str = ""
