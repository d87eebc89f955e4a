"""The OCI process of a further command in a container, from that of its first one: pure.

Form and meaning: runtime-spec 1.0.2, config.md, "process".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from runtime.api import ExecSpec
from runtime.embedded.bundle.command import plain_dir
from runtime.embedded.bundle.users import Account
from runtime.errors import Fault


class NotText(Fault):
    """A word or a variable has bytes that the text of an OCI process cannot have."""

    def __init__(self, command: str) -> None:
        super().__init__(
            f"{command} cannot be run in the container",
            why="its words or variables are not UTF-8",
            hint="write such bytes in the container: printf '\\377' in a shell gives one",
        )


def process(
    first: Mapping[str, Any],
    spec: ExecSpec,
    *,
    owner: Account | None,
    account: Account | None,
    capabilities: Sequence[str] | None,
    size: tuple[int, int] | None = None,
) -> bytes:
    """``first`` is the container's own process. ``account`` takes the place of ``owner``, who
    runs that; both are None where nobody else shall run this. ``capabilities`` take the place of
    its own; ``size`` is the terminal's, rows and columns. Raises ``BadWorkingDir``, ``NotText``."""
    made = {
        **first,
        "args": list(spec.command),
        "env": _environment(first["env"], spec, owner, account),
        "cwd": plain_dir(spec.working_dir) if spec.working_dir else first["cwd"],
        "terminal": spec.tty,
    }
    if account is not None:
        groups = list(account.groups)
        made["user"] = {"uid": account.uid, "gid": account.gid, "additionalGids": groups}
    if capabilities is not None:
        given = list(capabilities)
        made["capabilities"] = {"bounding": given, "effective": given, "permitted": given}
        made.pop("apparmorProfile", None)
    if size is not None:
        made["consoleSize"] = {"height": size[0], "width": size[1]}
    try:
        return msgspec.json.encode(made)
    except UnicodeEncodeError as error:
        raise NotText(spec.command[0]) from error


def _environment(
    inherited: Sequence[str], spec: ExecSpec, owner: Account | None, account: Account | None
) -> list[str]:
    """The container's variables; its user's home is replaced by the other user's."""
    values = dict(entry.partition("=")[::2] for entry in inherited)
    if spec.tty:
        values.setdefault("TERM", "xterm")
    if owner is not None and account is not None and values.get("HOME") == owner.home:
        values["HOME"] = account.home
    values |= spec.environment
    return [f"{name}={value}" for name, value in values.items()]
