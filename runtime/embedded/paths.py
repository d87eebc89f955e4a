"""Every path and name that an instance owns.

An instance is one engine with its own state, router namespace, nftables table and cgroup
parent. The default instance lives in /var/lib/trueup (kept) and /run/trueup (a boot's);
``--root R`` or ``TRUEUP_ROOT`` makes another one in R/lib and R/run whose kernel names carry
a tag made from R, so that tests and second instances never meet.
"""

from pathlib import Path

import msgspec

from runtime.errors import Fault

DEFAULT_LIB = Path("/var/lib/trueup")
DEFAULT_RUN = Path("/run/trueup")

# Where `lib` and `run` are, or may become, somebody else's (file-hierarchy(7)).
_SYSTEM = {*map(Path, ("/", "/home", "/root", "/run", "/tmp", "/var", "/var/lib", "/var/local"))}
_SYSTEM_TREES = (
    *map(Path, ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys")),
    *(Path("/usr"), DEFAULT_LIB, DEFAULT_RUN),
)


class UnfitRoot(Fault):
    """An instance may not have its folders there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        super().__init__(
            f"{root} cannot be the root of an instance",
            why=f"{root / 'lib'} and {root / 'run'} are, or may become, somebody else's",
            hint="give --root (TRUEUP_ROOT) a folder of its own, such as /srv/trueup",
        )


class Paths(msgspec.Struct, frozen=True):
    """Where an instance keeps its things; ``tag`` is empty for the default instance."""

    lib: Path
    run: Path
    tag: str

    @classmethod
    def default(cls) -> "Paths":
        return cls(DEFAULT_LIB, DEFAULT_RUN, "")

    @classmethod
    def below(cls, root: Path) -> "Paths":
        """The instance whose state lives below ``root``. Raises ``UnfitRoot``."""
        import hashlib

        root = root.resolve()
        if root in _SYSTEM or any(root.is_relative_to(tree) for tree in _SYSTEM_TREES):
            raise UnfitRoot(root)
        tag = hashlib.sha256(str(root).encode()).hexdigest()[:6]
        return cls(root / "lib", root / "run", tag)

    # Names in the kernel.

    @property
    def suffix(self) -> str:
        return f"-{self.tag}" if self.tag else ""

    @property
    def table(self) -> str:
        """nftables table on the host, family inet."""
        return f"trueup{self.suffix}"

    @property
    def cgroup(self) -> str:
        """Parent of all cgroups, relative to each hierarchy's root, without a slash."""
        return f"trueup{self.suffix}"

    @property
    def uplink(self) -> str:
        """The host's end of the link to the router; interface names have 15 bytes."""
        return f"tuu{self.tag}"

    # State that is kept.

    @property
    def ledger(self) -> Path:
        return self.lib / "ledger.db"

    @property
    def records(self) -> Path:
        return self.lib / "records.db"

    @property
    def store(self) -> Path:
        """Images: blobs, layers, index.db."""
        return self.lib / "images"

    @property
    def volumes(self) -> Path:
        return self.lib / "volumes"

    def volume(self, project: str, name: str) -> Path:
        return self.volumes / project / name

    @property
    def containers(self) -> Path:
        return self.lib / "containers"

    def container(self, container: str) -> Path:
        """The kept part of a container: applied.json, upper, work, log."""
        return self.containers / container

    @property
    def locks(self) -> Path:
        """Locks of projects; kept, as what they guard may be the making and the removal of
        everything else."""
        return self.lib / "locks"

    @property
    def host_lock(self) -> Path:
        return self.locks / "host"

    # State of this boot.

    @property
    def boot_id(self) -> Path:
        """Holds the boot id under which all else in ``run`` was written."""
        return self.run / "boot_id"

    @property
    def router(self) -> Path:
        """The router namespace, bound here."""
        return self.run / "router"

    @property
    def namespaces(self) -> Path:
        return self.run / "netns"

    def namespace(self, container: str) -> Path:
        return self.namespaces / container

    @property
    def bundles(self) -> Path:
        return self.run / "bundles"

    def bundle(self, container: str) -> Path:
        """A boot's part of a container: config.json, pidfile, conmon's files, rootfs mount."""
        return self.bundles / container

    @property
    def exits(self) -> Path:
        """conmon's exit files, one per container; on tmpfs so that a full disk loses none."""
        return self.run / "exits"

    @property
    def oci(self) -> Path:
        """The OCI runtime's own state (crun --root)."""
        return self.run / "oci"

    @property
    def dns(self) -> Path:
        return self.run / "dns"

    @property
    def holder(self) -> Path:
        """Who holds the reserved ports: pid and start time."""
        return self.run / "holder.json"
