"""What a new generation must show before it takes the place of another for good.

Beside an old one that answers it must listen, or be healthy, before clients are led to it. Where
the old one had to stop first, clients are led to it at once, and the old one is kept until the new
one has outlived its start, or is healthy. A gate that is not passed leads back to the old one,
unless the spec says to pause.
"""

from collections.abc import Iterator

from reconciler.plan import AwaitHealthy, AwaitReady, Rollback
from reconciler.planning.containers import Fate, label
from reconciler.planning.edges import Draft
from reconciler.planning.rolling import is_well, led_to
from reconciler.planning.surroundings import Surroundings
from runtime.api import OnFailure, PortSpec

READY_SECONDS = 10.0


def gates(fate: Fate, around: Surroundings) -> Iterator[Draft]:
    """The gate of a generation that comes while, or in place of, another one that answers."""
    if not fate.runs or around.service is None or fate.id in around.targets:
        return
    old = around.fallback(fate) if fate.starts else ""
    if old:
        yield _proof(fate, around, old)
    elif not fate.stop_first and around.somebody_answers(fate.id) and _joins(fate, around):
        yield _ready(fate, _awaited(around.service.ports, around))


def _awaited(ports: tuple[PortSpec, ...], around: Surroundings) -> tuple[PortSpec, ...]:
    """Of a range nobody knows which ports are used, and of a network in which others live, too,
    whose: those start only after it."""
    if around.shares_network:
        return ()
    return tuple(port for port in ports if port.protocol == "tcp" and port.count == 1)


def _joins(fate: Fate, around: Surroundings) -> bool:
    return is_well(fate, around.targets, explicit=around.explicit)


def _ready(fate: Fate, ports: tuple[PortSpec, ...]) -> Draft:
    """The others answer meanwhile, so that nothing but itself has to go back."""
    listed = ", ".join(str(port) for port in sorted({each.container_port for each in ports}))
    port = f"port {listed} must listen" if listed else "it must listen where the old one does"
    if not fate.renews:
        why = "before clients are led to it, too"
    else:
        why = "before the old one stops" if listed else "before that stops"
    must = "it must be healthy" if _is_checked(fate) else port
    if _is_checked(fate) and fate.renews:
        why = "before the old one stops"
    back = Rollback() if fate.renews and _goes_back(fate) else None
    return Draft(
        name=("ready", fate.id),
        action=_action(fate, ports, back, alone=False),
        object=label(fate),
        after=frozenset({("start", fate.id)}),
        reasons=(f"{must} {why}",),
    )


def _proof(fate: Fate, around: Surroundings, old: str) -> Draft:
    targets = around.targets
    before = led_to(around.siblings, targets, fate.wave - 1, explicit=around.explicit)
    back = Rollback(start=old, service=fate.key.name, ids=before or (old,))
    must = "be healthy" if _is_checked(fate) else "outlive its start"
    return Draft(
        name=("proof", fate.id),
        action=_action(fate, (), back if _goes_back(fate) else None, alone=True),
        object=label(fate),
        after=frozenset({("start", fate.id), ("serve", fate.key.name, str(fate.wave))}),
        reasons=(f"it must {must} before the old one is removed",),
    )


def _action(
    fate: Fate, ports: tuple[PortSpec, ...], back: Rollback | None, *, alone: bool
) -> AwaitReady | AwaitHealthy:
    within = fate.spec.update.healthy_within
    if _is_checked(fate):
        return AwaitHealthy(id=fate.id, timeout=within, rollback=back)
    return AwaitReady(
        id=fate.id,
        ports=ports,
        timeout=READY_SECONDS,
        healthy_within=within,
        alone=alone,
        rollback=back,
    )


def _is_checked(fate: Fate) -> bool:
    """Whether the spec itself has a health check; whether the image has one shows later."""
    check = fate.spec.healthcheck
    return check is not None and not check.disabled and bool(check.test)


def _goes_back(fate: Fate) -> bool:
    return fate.spec.update.on_failure is OnFailure.ROLLBACK
