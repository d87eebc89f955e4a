"""Where a service leads while its containers are replaced wave by wave, and in the end.

It leads to what runs and is well. When nobody is well it leads to all that run, since refusing
everybody helps nobody.
"""

from collections.abc import Collection, Iterator, Sequence

from reconciler.planning.containers import Fate, called
from reconciler.planning.stopped import RUNNING
from runtime.api import HealthStatus, ObservedContainer, Phase


def last_wave(fates: Sequence[Fate]) -> int:
    return max((fate.wave for fate in fates), default=0)


def led_to(
    fates: Sequence[Fate], targets: Collection[str], wave: int, *, explicit: bool
) -> tuple[str, ...]:
    """The generations that answer once this wave is through; ``targets`` answer now."""
    running: list[tuple[str, bool]] = []
    for fate in fates:
        if fate.wave > wave:
            olds = [old for old in fate.olds if old.id in targets]
            running += _well(olds)
        elif fate.runs:
            running.append((fate.id, is_well(fate, targets, explicit=explicit)))
        answering = [each for each in fate.alone if each.id in targets]
        running += _well(answering or fate.alone)
    well = tuple(id for id, well in running if well)
    return well or tuple(id for id, _ in running)


def _well(containers: Sequence[ObservedContainer]) -> Iterator[tuple[str, bool]]:
    return ((each.id, not _ails(each)) for each in containers if each.phase in RUNNING)


def is_well(fate: Fate, targets: Collection[str], *, explicit: bool) -> bool:
    """Whether the generation that stays may answer. One whose health is not known yet may join
    others when somebody waits for it, or else once its checks went well."""
    if fate.starts or fate.keep is None:
        return True
    health = fate.keep.health
    unknown = health is not None and health.status is HealthStatus.STARTING
    joins = fate.keep.id not in targets and not fate.olds
    return not _ails(fate.keep) and (explicit or not (unknown and joins))


def _ails(container: ObservedContainer) -> bool:
    health = container.health
    unhealthy = health is not None and health.status is HealthStatus.UNHEALTHY
    return unhealthy or container.phase is Phase.RESTARTING


def absences(fates: Sequence[Fate], gone: Collection[str]) -> Iterator[str]:
    """Why generations that stay are not led to any more, in words."""
    for fate in fates:
        if fate.keep is not None and fate.keep.id in gone and not fate.starts:
            between = fate.keep.phase is Phase.RESTARTING
            why = "is between two runs" if between else "is unhealthy"
            yield f"{called(fate.key)} {why if fate.runs else 'does not run'}"
