"""What a runtime is asked, and what it tells beside the state of the world."""

from collections.abc import Callable

import msgspec

from runtime.api.image import ImageSpec, RegistryAccess
from runtime.api.network import NetworkSpec
from runtime.api.observed import ObservedVolume
from runtime.api.service import PortSpec
from runtime.api.volume import VolumeSpec


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What the project wants to know beside its own objects: the images it names, the ports
    that it will publish, the networks and volumes of others that it uses (``external``): those
    that are there stand among the observed ones by the name that they have here. Registries are
    asked only for images whose policy demands it and for tags that are pushed, for a few seconds
    at most, and none when ``offline``: then each is taken to have what it shall have."""

    project: str
    images: tuple[ImageSpec, ...] = ()
    ports: tuple[tuple[str, PortSpec], ...] = ()
    networks: tuple[NetworkSpec, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    registries: tuple[RegistryAccess, ...] = ()
    offline: bool = False


class VolumeUse(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of any project; ``owner`` is the container that a volume without a name belongs
    to, "" for a named one."""

    project: str
    volume: ObservedVolume
    owner: str = ""


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """``time`` is RFC 3339 in UTC; ``text`` has no newline unless ``partial`` is False and the
    program wrote one."""

    time: str
    stream: str
    text: bytes


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a long step is; sizes in bytes, ``total`` None while unknown. ``what`` is a part of
    the step, a layer for instance; nothing more is to be done for one that is ``over``, or for
    which ``done`` has reached ``total``, unless another word is said of it."""

    what: str
    doing: str
    done: int = 0
    total: int | None = None
    over: bool = False


Report = Callable[[Progress], None]
