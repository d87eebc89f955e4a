"""Networks of a project, and a container's place in one."""

import msgspec


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network of a project. Subnets in CIDR form, None for ones that the engine picks.

    ``internal``: no way to the host and beyond. ``ipv6``: addresses of both families.
    ``full_name``: what other projects call it, "" for ``PROJECT_NAME``. ``external``: it belongs
    to another project, which calls it ``full_name``; nothing is made of it here.
    """

    project: str
    name: str
    subnet: str | None = None
    subnet6: str | None = None
    ipv6: bool = False
    internal: bool = False
    external: bool = False
    full_name: str = ""
    labels: dict[str, str] = {}

    @property
    def known_as(self) -> str:
        """The name by which all projects know it."""
        return self.full_name or f"{self.project}_{self.name}"


class Attachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One network that a container is in; ``network`` is its name in the project.

    ``aliases`` are further names in DNS there. A fixed ``ipv4_address`` is the real address of
    the container, therefore only one generation at a time can have it. The network with the
    highest ``gw_priority``, then the first one that is not internal, has the default route.
    """

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str | None = None
    ipv6_address: str | None = None
    gw_priority: int = 0

    @property
    def fixed(self) -> bool:
        return self.ipv4_address is not None or self.ipv6_address is not None
