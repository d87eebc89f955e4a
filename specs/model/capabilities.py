"""Linux capabilities, as `cap_add` and `cap_drop` name them. Source: capabilities(7)."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from specs.notations import each_of, read_text
from specs.problems import nearest_word
from specs.refusals import refuse, wrong
from specs.scalars import Unreadable

KNOWN: Final = frozenset(
    """
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE
    DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN
    MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID
    SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE
    SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM
    """.split()  # noqa: SIM905  # as words it can be read
)


def parse_capability(text: str) -> str:
    """The name in capitals without `CAP_`; `ALL` stands for every one."""
    name = text.upper().removeprefix("CAP_")
    if name not in KNOWN | {"ALL"}:
        near = nearest_word(name, KNOWN)
        expected = "a capability such as NET_ADMIN, or ALL"
        raise Unreadable(expected, reason="is not a capability of Linux", nearest=near)
    return name


def _read_item(item: object) -> Any:
    if isinstance(item, str):
        return read_text(item, parse_capability)
    return refuse([wrong(item, "a capability such as NET_ADMIN, or ALL")])


def _read_all(value: object) -> Any:
    return tuple(sorted(set(each_of(value, "a list of capabilities", _read_item))))


_NAMES: Final = sorted(KNOWN | {"ALL"})
Capabilities = Annotated[
    tuple[str, ...],
    BeforeValidator(_read_all),
    WithJsonSchema({"type": "array", "items": {"type": "string", "examples": _NAMES}}),
]
