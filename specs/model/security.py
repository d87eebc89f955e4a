"""`security_opt` and `sysctls`: what the kernel lets a process do, and how its part is set."""

import re
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from specs.fields import Context, Spec, about, context_of
from specs.model.pairs import PAIRS_SCHEMA, pairs
from specs.model.paths import resolved
from specs.nodes import List, Map
from specs.notations import WORDS_SCHEMA, each_of
from specs.problems import nearest_word
from specs.refusals import refuse, refuse_if_any, wrong
from specs.scalars import Unreadable, parse_flag

OPTIONS: Final = ("no-new-privileges", "seccomp", "apparmor", "label", "systempaths")
UNCONFINED: Final = "unconfined"
_EXPECTED: Final = (
    "no-new-privileges, seccomp:FILE, seccomp:unconfined, apparmor:NAME, label:WORD or "
    "systempaths=unconfined"
)
# Namespaced by the kernel; anything else would be the whole host's. Source: namespaces(7).
_OWN: Final = re.compile(
    r"net[./].+|fs[./]mqueue[./].+|kernel[./](domainname|hostname|msgmax|msgmnb|msgmni|sem|shmall|"
    r"shmmax|shmmni|shm_rmid_forced)"
)


class Security(Spec):
    """What `security_opt` says, each option once; None: the engine's default."""

    noun: ClassVar[str] = "`security_opt`"

    no_new_privileges: bool | None = about(
        "Whether execve(2) can give no more rights.", default=None
    )
    seccomp: str | None = about("Profile of system calls, or `unconfined`.", default=None)
    apparmor: str | None = about("Profile of AppArmor, or `unconfined`.", default=None)
    label: tuple[str, ...] = about("Words of SELinux.", default=())
    unmask: bool = about("Whether nothing of /proc and /sys is hidden.", default=False)


NO_OPTIONS: Final = Security()


def _read_security(value: object, info: ValidationInfo) -> Any:
    if isinstance(value, Security):
        return value
    context = context_of(info)
    options = each_of(value, f"a list, of {_EXPECTED}", lambda item: _option(item, context))
    labels = tuple(text for name, text in options if name == "label")
    return Security(**{**dict(options), "label": labels})


def _option(item: object, context: Context) -> tuple[str, Any]:
    """The field and its value; `:` and `=` both stand between them."""
    if not isinstance(item, str):
        refuse([wrong(item, _EXPECTED)])
    name, _, text = re.sub("[:=]", "\0", str(item), count=1).partition("\0")
    match name:
        case "no-new-privileges":
            return "no_new_privileges", _flag(item, text)
        case "seccomp" if text:
            default = {"builtin": None, UNCONFINED: UNCONFINED}
            return name, default[text] if text in default else resolved(text, context)
        case "apparmor" | "label" if text:
            return name, text
        case "systempaths" if text == UNCONFINED:
            return "unmask", True
    near = nearest_word(name, OPTIONS) if name not in OPTIONS else ""
    hint = f"did you mean `{near}`?" if near else ""
    return refuse([wrong(item, _EXPECTED, reason="is not an option of `security_opt`", hint=hint)])


def _flag(item: str, text: str) -> bool:
    try:
        return parse_flag(text or "true")
    except Unreadable as error:
        refuse([wrong(item, f"no-new-privileges:{error.expected}")])


def _read_sysctls(value: object, info: ValidationInfo) -> Any:
    """Names with values; only those that a container has for itself."""
    keys = list(value.keys_at.values()) if isinstance(value, Map) else value
    if isinstance(keys, (list, List)):
        foreign = [key for key in keys if not _OWN.fullmatch(str(key).partition("=")[0])]
        expected = "net.…, fs.mqueue.…, kernel.shm… or kernel.msg…"
        reason = "is not a setting that a container has for itself"
        hint = "for the whole host it belongs into /etc/sysctl.d"
        refuse_if_any([wrong(each, expected, reason=reason, hint=hint) for each in foreign])
    return pairs(value, info, ask=False)


SecurityOpt = Annotated[Security, BeforeValidator(_read_security), WithJsonSchema(WORDS_SCHEMA)]
Sysctls = Annotated[dict[str, str], BeforeValidator(_read_sysctls), WithJsonSchema(PAIRS_SCHEMA)]
