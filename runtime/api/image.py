"""What an image is and where it comes from."""

from enum import StrEnum

import msgspec

from runtime.api.health import Healthcheck


class PullPolicy(StrEnum):
    MISSING = "missing"
    ALWAYS = "always"
    NEWER = "newer"
    NEVER = "never"


class ImageDefaults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an image says about running it (OCI image-spec, config)."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: dict[str, str] = {}
    healthcheck: Healthcheck | None = None


class RegistrySource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="registry"):
    """An image of a registry; ``reference`` is complete (host/repository:tag or @digest).
    ``alternatives`` are further complete references for a short name: the first one whose
    registry has it is meant, and a registry that gives no answer ends the search. ``variants`` are
    digests that the reference's own leads to, each for some platform: an image that is here by one
    of them is it. ``platform`` is OS/ARCH[/VARIANT], None: the host's."""

    reference: str
    alternatives: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    pull: PullPolicy = PullPolicy.MISSING
    platform: str | None = None


class ArchiveSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="archive"):
    """A docker-archive or OCI archive file, by absolute path."""

    path: str


class RootfsSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="rootfs"):
    """A bare file system as a tar file, by absolute path."""

    path: str
    config: ImageDefaults = ImageDefaults()


ImageSource = RegistrySource | ArchiveSource | RootfsSource


class ImageSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``name`` is what containers call it: a key of ``images:`` or the reference as written.
    ``tags`` are complete references that shall mean it, too; those of them in ``push`` in their
    registries, as well."""

    name: str
    source: ImageSource
    tags: tuple[str, ...] = ()
    push: tuple[str, ...] = ()


class RegistryAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach one registry. Never persisted: it may carry a password. ``missing`` says why
    there is none, and where it was wanted, for when the registry asks for it. ``ca``,
    ``certificate`` and ``key`` are absolute paths of PEM files; ``mirrors`` (HOST[:PORT][/PREFIX])
    are asked first, in this order, when something is fetched. ``partners`` (HOST[:PORT]) act for
    it: as its token server they may know the password, and it may lead to them at addresses that
    are nearer to us than its own."""

    host: str
    insecure: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""
    mirrors: tuple[str, ...] = ()
    partners: tuple[str, ...] = ()
    username: str = ""
    password: str = ""
    missing: str = ""

    def __repr__(self) -> str:
        return f"RegistryAccess(host={self.host!r}, insecure={self.insecure})"
