"""Further processes in running containers, as the verbs ``execute`` and ``processes`` mean them."""

from pathlib import Path
from typing import Any

import msgspec

from runtime.api import ExecSpec, Phase, ProcessRow, Stdio
from runtime.embedded import cgroups, hostfacts
from runtime.embedded.bundle import capabilities, further, users
from runtime.embedded.ledger import ContainerRow
from runtime.embedded.linux import proc
from runtime.embedded.paths import Paths
from runtime.embedded.process import exec as execs
from runtime.embedded.process import exec_terminal
from runtime.embedded.process import intent as intents
from runtime.embedded.process.exec import Further
from runtime.embedded.process.ociruntime import OciRuntime
from runtime.embedded.process.supervise import Supervisor
from runtime.embedded.streams import terminal
from runtime.errors import Fault


class NotRunning(Fault):
    """Only a container that runs can be looked into."""

    def __init__(self, container: str) -> None:
        self.container = container
        super().__init__(
            f"{container} is not running",
            hint="`trueup ps -a` says how it ended, `trueup apply` starts what the spec wants",
        )


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """Runs commands in the containers of one instance."""

    paths: Paths
    supervisor: Supervisor
    layout: cgroups.Layout

    def execute(self, row: ContainerRow, spec: ExecSpec, stdio: Stdio) -> int:
        """Raises ``NotRunning``, ``ExecFailed``, and the faults of ``users``."""
        self._check_running(row)
        if spec.detach:
            execs.start(self.further(row, msgspec.structs.replace(spec, tty=False)))
            return 0
        if not spec.tty:
            return execs.run(self.further(row, spec), stdio)
        wanted = self.further(row, spec, size=terminal.size(stdio))
        with (
            exec_terminal.started(wanted, self.paths.bundle(row.id)) as running,
            execs.forwarding(running.send),
        ):
            terminal.join(running.console, stdio, running.pidfd)
            return running.wait()

    def further(
        self, row: ContainerRow, spec: ExecSpec, *, size: tuple[int, int] | None = None
    ) -> Further:
        """The command as the OCI runtime that started the container shall run it."""
        bundle = self.paths.bundle(row.id)
        intent = intents.read(bundle)
        oci = self.supervisor.oci
        if intent is not None:
            oci = OciRuntime(program=intent.oci, root=Path(intent.oci_root))
        text = self._process(bundle, spec, size)
        return Further(oci=oci, id=row.id, command=spec.command[0], process=text)

    def _process(self, bundle: Path, spec: ExecSpec, size: tuple[int, int] | None) -> bytes:
        config = msgspec.json.decode((bundle / "config.json").read_bytes(), type=_Config)
        given = None
        if spec.privileged:
            given = capabilities.resolve(("ALL",), (), hostfacts.read().capabilities)
        owner = account = None
        if spec.user is not None:
            root = bundle / "rootfs"
            owner = users.account(root, str(config.process["user"]["uid"]))
            account = users.account(root, spec.user)
        return further.process(
            config.process, spec, owner=owner, account=account, capabilities=given, size=size
        )

    def processes(self, row: ContainerRow) -> tuple[ProcessRow, ...]:
        """What is in its cgroup, in the order of pids. Raises ``NotRunning``."""
        self._check_running(row)
        group = cgroups.path_for(self.paths.cgroup, row.key.project, row.id)
        found = map(proc.read, cgroups.processes(self.layout, group))
        return tuple(each for each in found if each is not None)

    def _check_running(self, row: ContainerRow) -> None:
        if self.supervisor.state(row.id).phase is not Phase.RUNNING:
            raise NotRunning(str(row.key))


class _Config(msgspec.Struct):
    process: dict[str, Any]
