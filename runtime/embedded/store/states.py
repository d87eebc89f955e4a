"""What is here of a project's images, and whether it is what the spec and the registries say.

First all is collected that only registries know: what tags mean there under the policies ``always``
and ``newer``, and of those that are pushed. Then all of it is asked at once, and the states follow
from the answers: registries that are gone must not hold up a look at the machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from runtime.api import ImageSpec, ObservedImage, RegistryAccess
from runtime.asking import ask_each
from runtime.embedded.store.faults import ArchiveMissing, ImageAbsent
from runtime.embedded.store.images import Expected, ImageStore, Look
from runtime.embedded.store.outgoing import is_one_of_several, outgoing
from runtime.errors import Absent, Fault
from runtime.reference import parse

PATIENCE = 3.0  # seconds for all that one look asks

# What registries say of tags: the digest that one has now, or why that is not known.
Answers = Mapping[Expected, str | Fault]


def states(
    store: ImageStore,
    images: Sequence[ImageSpec],
    access: Sequence[RegistryAccess],
    *,
    offline: bool = False,
) -> dict[str, ObservedImage]:
    """The state of each image by its name. Of a registry that gives no answer nothing is known;
    ``offline`` asks none and takes it that each has what it shall have."""
    looks = [store.look(image) for image in images]
    tagged = [_tagged(store, image, look) for image, look in zip(images, looks, strict=True)]
    expected = [
        *(look.moving for look in looks if look.moving is not None),
        *(expected for each in tagged for expected in each.pushed),
    ]
    answers = _as_expected(expected) if offline else _ask(expected, access)
    return {
        look.state.name: _judged(look, each, answers)
        for look, each in zip(looks, tagged, strict=True)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tagged:
    """The spec's tags that mean the image here, what those that are pushed must mean in their
    registries, and the one of several platforms that they get."""

    tags: tuple[str, ...] = ()
    pushed: tuple[Expected, ...] = ()
    alone: str = ""


def _tagged(store: ImageStore, image: ImageSpec, look: Look) -> _Tagged:
    id = look.state.id
    if not id or not image.tags:
        return _Tagged()
    with store.index.reading() as rows:
        meant = {tag: rows.reference(tag) if rows else None for tag in image.tags}
        own = rows.image(id) if rows else None
    tags = tuple(tag for tag, row in meant.items() if row and row[0] == id)
    several = image.push and is_one_of_several(store.index, store.layout, id)
    return _Tagged(
        tags=tags,
        pushed=tuple(_pushed(store, id, [tag for tag in image.push if tag in tags])),
        alone=own.platform if own and several else "",
    )


def _pushed(store: ImageStore, id: str, tags: Sequence[str]) -> Iterator[Expected]:
    """Nothing of an image that cannot leave. Since it is sent to the registry itself, no mirror can
    tell whether it is there."""
    if not tags:
        return
    try:
        own = outgoing(store.index, store.layout, id).digest
    except (ArchiveMissing, ImageAbsent):
        return
    yield from (Expected(tag=parse(tag), digest=own, itself=True) for tag in tags)


def _as_expected(expected: Sequence[Expected]) -> Answers:
    return {each: each.digest for each in expected}


def _ask(expected: Sequence[Expected], access: Sequence[RegistryAccess]) -> Answers:
    """Each tag is asked for once. Mirrors come before their registry and may be silent, so each
    gets its share of the time."""
    if not expected:
        return {}
    from runtime.embedded.registry.client import Client
    from runtime.embedded.registry.endpoints import access_to, first_answer
    from runtime.embedded.registry.transport import Pace

    def ask(expected: Expected) -> str:
        there = access_to(expected.tag.host, access)
        ways: Sequence[RegistryAccess] = access
        if expected.itself:
            there = msgspec.structs.replace(there, mirrors=())
            ways = (there,)
        share = PATIENCE / (1 + len(there.mirrors))
        pace = Pace(connect=share, silence=share)
        return first_answer(expected.tag, ways, Client.digest, tries=1, pace=pace)

    return ask_each(expected, ask, within=PATIENCE)


def _judged(look: Look, tagged: _Tagged, answers: Answers) -> ObservedImage:
    pushed = tagged.pushed
    return msgspec.structs.replace(
        look.state,
        stale=look.state.stale or _moved(look.moving, answers),
        tags=tagged.tags,
        pushed=tuple(str(each.tag) for each in pushed if answers[each] == each.digest),
        astray={
            str(each.tag): _instead(answer)
            for each in pushed
            if (answer := answers[each]) != each.digest and _is_known(answer)
        },
        unheard=_unheard(look.moving, pushed, answers),
        alone=tagged.alone,
    )


def _is_known(answer: str | Fault) -> bool:
    """Of a tag that is pushed it is an answer that the registry has not got it."""
    return isinstance(answer, str | Absent)


def _instead(answer: str | Fault) -> str:
    if isinstance(answer, Fault):
        return "its registry has not got it"
    return f"its registry has {answer[:19]} now"


def _unheard(
    moving: Expected | None, pushed: Sequence[Expected], answers: Answers
) -> dict[str, str]:
    """Why it is not known what tags mean now. One that is gone, and that an image came from, means
    nothing now."""
    silent = [each for each in pushed if not _is_known(answers[each])]
    asked = [moving, *silent] if moving else silent
    faults = ((each, answers[each]) for each in asked)
    return {str(each.tag): fault.brief for each, fault in faults if isinstance(fault, Fault)}


def _moved(moving: Expected | None, answers: Answers) -> str:
    """Why what is here is not what its tag means any more. A registry that gives no answer has
    nothing newer to say."""
    now = answers[moving] if moving else None
    if moving is None or isinstance(now, Fault) or now == moving.digest:
        return ""
    return f"the registry has {str(now)[:19]} now"
