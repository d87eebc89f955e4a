"""What a check's result means, by Docker's rules (moby, daemon/health.go): pure."""

import msgspec

from runtime.api import Health, Healthcheck, HealthStatus

MOST_OUTPUT = 4096  # bytes; of more the end is kept
NO_ANSWER = -1  # the exit code of a check that did not end in time

_DEFAULTS = Healthcheck()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one check; times in seconds since the epoch."""

    code: int
    output: str
    began: float
    ended: float


def at_work(spec: Healthcheck | None, image: Healthcheck | None) -> Healthcheck | None:
    """The check that holds: what the spec leaves at its default is the image's. None for none."""
    if spec is None:
        return None if image is None or image.disabled or not image.test else image
    merged = spec if image is None or spec.disabled else _merged(spec, image)
    return None if merged.disabled or not merged.test else merged


def _merged(spec: Healthcheck, image: Healthcheck) -> Healthcheck:
    fields = {
        name: getattr(image, name)
        for name in Healthcheck.__struct_fields__
        if getattr(spec, name) == getattr(_DEFAULTS, name)
    }
    return msgspec.structs.replace(spec, **fields)


def command(check: Healthcheck) -> tuple[str, ...]:
    """The program that is asked."""
    kind, *words = check.test
    return ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words)


def judged(check: Healthcheck, before: Health, result: Result, started_at: float) -> Health:
    """The state after a check. While it has never been healthy, failures that begin within
    ``start_period`` count for nothing."""
    failed = result.code != 0
    starting = before.status is HealthStatus.STARTING
    excused = starting and result.began - started_at < check.start_period
    streak = before.failing_streak + (not excused) if failed else 0
    status = before.status if failed else HealthStatus.HEALTHY
    if failed and not excused and streak >= check.retries:
        status = HealthStatus.UNHEALTHY
    return Health(
        status=status,
        failing_streak=streak,
        checked_at=result.ended,
        exit_code=result.code,
        output=result.output,
    )
