"""The steps of services: names, addresses, published ports, and where each service leads.

All that is new or changed is one `Register`, all that goes is one `Unregister`: each is one
transaction of the network. Ports of others are found here, before anything is done.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from reconciler import compare
from reconciler.compare import Difference
from reconciler.desired import Desired
from reconciler.plan import Impact, Register, Serve, Unregister
from reconciler.planning.containers import Fate
from reconciler.planning.edges import Draft, Name
from reconciler.planning.lifecycle import GROUND
from reconciler.planning.rolling import absences, last_wave, led_to
from reconciler.planning.stopped import RUNNING
from reconciler.planning.update_order import holders
from runtime.api import Observed, ObservedContainer, PortSpec, ServiceSpec

REGISTER: Name = ("register", "services")
UNREGISTER: Name = ("unregister", "services")


def changed(
    desired: Desired, observed: Observed, names: Collection[str]
) -> dict[str, tuple[Difference, ...]]:
    """Services to register with what changed of them; nothing for new ones."""
    found: dict[str, tuple[Difference, ...]] = {}
    for name in sorted(desired.services.keys() & names):
        service, there = desired.services[name], observed.services.get(name)
        if there is None:
            found[name] = ()
        elif differences := _differences(desired, service, there.applied):
            found[name] = differences
    return found


def _differences(
    desired: Desired, service: ServiceSpec, applied: ServiceSpec
) -> tuple[Difference, ...]:
    def place(field: str) -> str:
        return desired.place("container", service.name, field)

    return compare.service(service, applied, place=place)


def register(
    desired: Desired,
    changes: Mapping[str, tuple[Difference, ...]],
    leaving: Iterable[ObservedContainer],
) -> Iterator[Draft]:
    """One step for all; it waits until names that go have given back their ports, and containers
    that go (``leaving``) fixed addresses."""
    if not changes:
        return
    services = tuple(desired.services[name] for name in sorted(changes))
    places = [place for each in services for place in each.networks]
    needs = {("network", place.network) for place in places}
    needs |= {("remove", each.id) for each in holders(places, leaving)}
    yield Draft(
        name=REGISTER,
        action=Register(services=services),
        object=_object(changes),
        after=GROUND | needs | {UNREGISTER},
        reasons=tuple(f"{n}: {d.text}" for n, each in changes.items() for d in each),
        places=tuple(d.place for each in changes.values() for d in each),
    )


def unregister(names: Collection[str], *, after: Iterable[Name] = ()) -> Iterator[Draft]:
    if names:
        yield Draft(
            name=UNREGISTER,
            action=Unregister(names=tuple(sorted(names))),
            object=_object(names),
            after=GROUND | frozenset(after),
            impact=Impact.DOWNTIME,
        )


def _object(names: Collection[str]) -> str:
    return f"{'service' if len(names) == 1 else 'services'} {', '.join(sorted(names))}"


def lead(
    name: str, fates: Sequence[Fate], observed: Observed, *, explicit: bool
) -> Iterator[Draft]:
    """The steps that lead a service to its generations, wave by wave, unless it leads there
    already.

    What runs must answer. A service whose container ended may go on leading to it: a finished
    job is in sync.
    """
    there = observed.services.get(name)
    targets = set(there.targets) if there else set()
    answering, last = targets & _known(fates), last_wave(fates)
    if answering and answering != targets:
        ids = tuple(id for id in there.targets if id in answering) if there else ()
        yield _lead_away(name, ids)
    else:
        answering = targets
    for wave in range(last + 1):
        ids = led_to(fates, targets, wave, explicit=explicit)
        if set(ids) == answering or not (ids or (wave == last and answering - _idle(fates))):
            continue
        yield _lead(name, fates, wave, ids, _aim(fates, answering, ids))
        answering = set(ids)


def lead_away(name: str) -> Name:
    """The step that takes surplus replicas out of a service before they stop."""
    return ("lead away", name)


def _known(fates: Iterable[Fate]) -> set[str]:
    """The generations of all replicas that there shall be."""
    there = {e.id for fate in fates for e in (*fate.olds, *fate.alone)}
    return there | {fate.id for fate in fates}


def _lead_away(name: str, ids: tuple[str, ...]) -> Draft:
    return Draft(
        name=lead_away(name),
        action=Serve(service=name, ids=ids),
        object=f"service {name}",
        after=GROUND,
        reasons=("fewer replicas answer",),
    )


def _lead(name: str, fates: Iterable[Fate], wave: int, ids: tuple[str, ...], why: str) -> Draft:
    came = [fate.id for fate in fates if fate.wave <= wave]
    return Draft(
        name=("serve", name, str(wave)),
        action=Serve(service=name, ids=ids),
        object=f"service {name}",
        after=GROUND
        | {REGISTER, lead_away(name)}
        | {("serve", name, str(before)) for before in range(wave)}
        | {(verb, id) for verb in ("start", "ready") for id in came},
        reasons=(why,),
    )


def _idle(fates: Iterable[Fate]) -> set[str]:
    """Generations that stay and do not run."""
    idle = {fate.id for fate in fates if fate.id and not fate.runs}
    return idle | {e.id for fate in fates for e in fate.alone if e.phase not in RUNNING}


def _aim(fates: Sequence[Fate], targets: Collection[str], ids: tuple[str, ...]) -> str:
    if not ids:
        return "nothing is left to answer"
    if not targets:
        return "it leads nowhere yet"
    gone = [*absences(fates, set(targets) - set(ids))]
    return ", ".join(gone) or "it leads elsewhere"


# --- ports that others have -------------------------------------------------------------------


def port_reports(
    desired: Desired, observed: Observed, changes: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(problems, notes): a port that is about to be published and held by others is a problem,
    one that was published and was taken from us is a note."""
    holders = {_address(each.port): each.holder for each in observed.port_holders}
    problems: list[str] = []
    notes: list[str] = []
    for name in sorted(desired.services) if holders else ():
        had = _published(observed, name)
        for port in desired.services[name].ports:
            if holder := holders.get(_address(port)):
                new = name in changes and _address(port) not in had
                place = desired.place("container", name, "ports")
                (problems if new else notes).append(_held(port, name, place, holder))
    return tuple(problems), tuple(notes)


_Address = tuple[str | None, int | None, str, int]


def _address(port: PortSpec) -> _Address:
    return port.host_ip, port.host_port, port.protocol, port.count


def _published(observed: Observed, name: str) -> set[_Address]:
    service = observed.services.get(name)
    return {_address(port) for port in service.applied.ports} if service else set()


def _held(port: PortSpec, name: str, place: str, holder: str) -> str:
    where = f" ({place})" if place else ""
    wanted = f"port {port.host}{port.published}/{port.protocol} of {name}{where}"
    return f"{wanted} is held by {holder}; stop it, or publish another port"
