"""The small notations of a spec, each with its reader and its writer: `parse(render(x)) == x`.

All read text as written, so YAML 1.1 cannot twist `22:22`, `0644` or `no`. A reader raises
`Unreadable` without repeating the value: whether it may be shown is known elsewhere.
"""

import re
import shlex
import signal
from typing import Final

from specs.problems import nearest_word

MAX_ID: Final = (1 << 31) - 1  # uids above are read as negative by some kernels' interfaces
MAX_BYTES: Final = (1 << 63) - 1

_INTEGER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_DECIMAL: Final = re.compile(r"(\d{1,19})(\.\d{1,9})?|(\.\d{1,9})", re.ASCII)
_SIZE: Final = re.compile(
    r"(\d{1,19}(?:\.\d{1,9})?) ?([bkmgtp])?(?:(?<=[kmgtp])i?b)?", re.ASCII | re.I
)
_SIZES: Final = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_DURATION_PART: Final = re.compile(
    r"(\d{1,12}(?:\.\d{1,9})?|\.\d{1,9})(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII
)
_NANOSECONDS: Final = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000,
    "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9,
}  # fmt: skip
_MODE: Final = re.compile(r"(?:0[oO])?[0-7]{1,5}")
_TRUE: Final = {"true", "yes", "on", "y"}
_FALSE: Final = {"false", "no", "off", "n"}
_SIGNALS: Final = "a signal such as SIGTERM, SIGQUIT or a number from 1 to 64"
_RT_MIN, _RT_MAX = 34, 64  # glibc's and musl's SIGRTMIN and SIGRTMAX on Linux


class Unreadable(ValueError):
    """A text that is not of its notation: what it should be, and if known a sharper reason.

    `reason` continues a sentence that begins with the value: "`9-1` ends before it begins".
    """

    def __init__(
        self, expected: str, *, reason: str = "", nearest: str = "", hint: str = ""
    ) -> None:
        self.expected = expected
        self.reason = reason
        self.nearest = nearest
        self.hint = hint
        super().__init__(reason or expected)


def parse_integer(text: str) -> int:
    """A decimal number; a leading zero does not make it octal."""
    if not _INTEGER.fullmatch(text):
        raise Unreadable("a whole number")
    return int(text)


def parse_flag(text: str) -> bool:
    """`true` or `false`, with YAML 1.1's other spellings."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise Unreadable("true or false")
    return word in _TRUE


def parse_decimal(text: str) -> float:
    """A number such as `0.5` or `2`; no sign, no exponent, neither nan nor infinity."""
    if not _DECIMAL.fullmatch(text):
        raise Unreadable("a number such as 0.5 or 2")
    return float(text)


def parse_bytes(text: str) -> int:
    """A size in bytes: `512m`, `1.5g`, `64KiB`, `1048576`; powers of 1024, as Docker's."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Unreadable("a size such as 512m, 1.5g or a number of bytes")
    whole, _, fraction = match.group(1).partition(".")
    unit = _SIZES[(match.group(2) or "b").lower()]
    size = int(whole) * unit + int(fraction or "0") * unit // int(10 ** len(fraction))
    if size > MAX_BYTES:
        raise Unreadable("a size such as 512m or 1.5g", reason="is larger than 2^63 - 1 bytes")
    return size


def render_bytes(size: int) -> str:
    """The size in the largest unit that divides it: `512m`."""
    for unit in "ptgmk":
        if size and size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return str(size)


def parse_duration(text: str) -> float:
    """Seconds from `10s`, `1m30s`, `500ms`, `1.5h`, `0`; units ns us ms s m h d, as Go has them."""
    if text == "0":
        return 0.0
    total, at = 0, 0
    while match := _DURATION_PART.match(text, at):
        whole, _, fraction = match.group(1).partition(".")
        unit = _NANOSECONDS[match.group(2)]
        total += int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        at = match.end()
    if at != len(text) or not text:
        hint = f"add the unit: {text}s" if _DECIMAL.fullmatch(text) else ""
        raise Unreadable("a duration such as 10s, 1m30s or 500ms", hint=hint)
    return total / 10**9


def render_duration(seconds: float) -> str:
    """The duration as `1m30s`, `500ms`, `0`."""
    rest = round(seconds * 10**9)
    parts = []
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        count, rest = divmod(rest, _NANOSECONDS[unit])
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0"


def parse_mode(text: str) -> int:
    """Permission bits; always octal, whether written `0750`, `750` or `0o750`."""
    if not _MODE.fullmatch(text) or (mode := int(text.lower().removeprefix("0o"), 8)) > 0o7777:
        raise Unreadable("permission bits in octal such as 0750")
    return mode


def render_mode(mode: int) -> str:
    """The bits as `0750`."""
    return f"{mode:04o}"


def parse_owner(text: str) -> tuple[int, int]:
    """`uid:gid`, both as numbers: a volume has no passwd file to look names up in."""
    uid, colon, gid = text.partition(":")
    try:
        return (_parse_id(uid), _parse_id(gid)) if colon else (_parse_id(uid), _parse_id(uid))
    except Unreadable:
        raise Unreadable("numbers for user and group such as 1000:1000") from None


def render_owner(owner: tuple[int, int]) -> str:
    """The owner as `27:27`."""
    return f"{owner[0]}:{owner[1]}"


def _parse_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > MAX_ID:
        raise Unreadable(f"a number from 0 to {MAX_ID}")
    return int(text)


def parse_user(text: str) -> str:
    """`user[:group]`, names or numbers; numbers must fit the kernel's (CVE-2024-40635)."""
    parts = text.split(":")
    if len(parts) > 2 or not all(re.fullmatch(r"[^\s:/\\]{1,256}", part) for part in parts):
        raise Unreadable("a user as name or number, with a group if wished: app, 1000, 1000:1000")
    for part in parts:
        if re.fullmatch(r"[+-]?\d+", part):
            _parse_id(part)
    return text


def parse_signal(text: str) -> str:
    """The canonical name, `SIGTERM`, from `SIGTERM`, `term`, `15`, `SIGRTMIN+3`, `37`."""
    name = text.upper() if text.upper().startswith("SIG") else "SIG" + text.upper()
    if text.isascii() and text.isdigit():
        return _signal_by_number(int(text[:4]))
    if offset := re.fullmatch(r"SIGRTM(IN\+|AX-)(\d{1,2})", name):
        step = int(offset.group(2))
        return _signal_by_number(
            _RT_MIN + step if offset.group(1) == "IN+" else _RT_MAX - step, _RT_MIN
        )
    if name not in signal.Signals.__members__:
        raise Unreadable(_SIGNALS, reason="is not a signal", nearest=_near_signal(name))
    return signal.Signals[name].name  # some have two names: SIGPOLL is SIGIO


def _signal_by_number(number: int, lowest: int = 1) -> str:
    if lowest <= number < 32:
        return signal.Signals(number).name
    if max(lowest, _RT_MIN) <= number <= _RT_MAX:
        return "SIGRTMIN" if number == _RT_MIN else f"SIGRTMIN+{number - _RT_MIN}"
    raise Unreadable(_SIGNALS)


def _near_signal(name: str) -> str:
    return nearest_word(name, signal.Signals.__members__)


def parse_command(text: str) -> tuple[str, ...]:
    """Words split as a shell would; quotes and backslashes only, as Compose does."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        reason = (
            "has a quote that is not closed"
            if "quotation" in str(error)
            else "ends with a backslash"
        )
        raise Unreadable("words as in a shell, or a list of words", reason=reason) from None


def render_command(words: tuple[str, ...]) -> str:
    """The words as one line that reads back as the same words."""
    return shlex.join(words)


def parse_port_range(text: str) -> tuple[int, int]:
    """First and last port of `80` or `9000-9010`; 1 to 65535."""
    first, dash, last = text.partition("-")
    bounds = (_parse_port(first), _parse_port(last if dash else first))
    if bounds[0] > bounds[1]:
        raise Unreadable("a port or a range such as 9000-9010", reason="ends before it begins")
    return bounds


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= 65_535):
        raise Unreadable("a port from 1 to 65535, or a range such as 9000-9010")
    return int(text)
