"""Seccomp filters, compiled once: crun compiles one for each container, 14 of its 20 ms.

crun takes a ready filter from the annotation ``run.oci.seccomp_bpf_data`` (crun(1)). The rules
stay in the configuration beside it, so a runtime that does not know the annotation compiles
them as usual. We call libseccomp as crun does and get the same bytes, which a test compares.
"""

import base64
import ctypes
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from runtime import durable

ANNOTATION = "run.oci.seccomp_bpf_data"

# seccomp.h of libseccomp 2.
_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_COMPARISONS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_EPERM = 1
_EEXIST = 17
_UNKNOWN_CALL = -1

Rules = Mapping[str, Any]


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


class _Uncompilable(Exception):
    """Rules that we leave to the OCI runtime."""


def annotations(rules: Rules, folder: Path) -> dict[str, str]:
    """The annotation that carries the filter for ``rules`` (``seccomp.resolve``).

    Compiled filters are kept in ``folder``, which belongs to one boot, so that a new libseccomp
    is used after the next. Empty when the filter cannot be made: the OCI runtime then compiles.
    """
    text = msgspec.json.encode(rules, order="sorted")
    place = folder / hashlib.sha256(text).hexdigest()
    try:
        code = place.read_bytes()
    except FileNotFoundError:
        code = compiled(rules)
        if code:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            durable.write(place, code, sync=False)
    return {ANNOTATION: base64.b64encode(code).decode()} if code else {}


def compiled(rules: Rules) -> bytes:
    """The BPF program for ``rules``; b"" without libseccomp or with what it does not know."""
    library = _library()
    if library is None:
        return b""
    try:
        return _compile(library, rules)
    except (_Uncompilable, KeyError):
        return b""


def _compile(library: ctypes.CDLL, rules: Rules) -> bytes:
    default = _action(rules["defaultAction"], rules.get("defaultErrnoRet"))
    made = library.seccomp_init(ctypes.c_uint32(default))
    if not made:
        raise _Uncompilable
    context = ctypes.c_void_p(made)
    try:
        for name in rules["architectures"]:
            _add_architecture(library, context, name)
        for rule in rules["syscalls"]:
            action = _action(rule["action"], rule.get("errnoRet"))
            if action != default:
                _add_rule(library, context, action, rule)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _action(name: str, number: int | None) -> int:
    action = _ACTIONS[name]
    if name == "SCMP_ACT_ERRNO":
        action |= _EPERM if number is None else number
    return action


def _add_architecture(library: ctypes.CDLL, context: ctypes.c_void_p, name: str) -> None:
    plain = name.removeprefix("SCMP_ARCH_").lower().encode()
    token = ctypes.c_uint32(library.seccomp_arch_resolve_name(plain))
    if not token.value or library.seccomp_arch_add(context, token) not in (0, -_EEXIST):
        raise _Uncompilable


def _add_rule(library: ctypes.CDLL, context: ctypes.c_void_p, action: int, rule: Rules) -> None:
    arguments = [_comparison(argument) for argument in rule.get("args") or ()]
    for name in rule["names"]:
        call = library.seccomp_syscall_resolve_name(name.encode())
        if call == _UNKNOWN_CALL:
            continue  # of another architecture or a newer kernel: runtime-spec allows to skip it
        for group in _alternatives(arguments):
            array = (_Comparison * len(group))(*group)
            number = ctypes.c_uint(len(group))
            if library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), call, number, array
            ):
                raise _Uncompilable


def _alternatives(arguments: Sequence[_Comparison]) -> list[Sequence[_Comparison]]:
    """All comparisons must hold; but several of one argument are alternatives, as in runc."""
    places = [argument.arg for argument in arguments]
    if len(set(places)) == len(places):
        return [arguments]
    return [[argument] for argument in arguments]


def _comparison(argument: Rules) -> _Comparison:
    return _Comparison(
        argument["index"], _COMPARISONS[argument["op"]], argument["value"], argument["valueTwo"]
    )


def _export(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    with tempfile.TemporaryFile() as file:
        if library.seccomp_export_bpf(context, file.fileno()):
            raise _Uncompilable
        file.seek(0)
        return file.read()


@cache
def _library() -> ctypes.CDLL | None:
    """libseccomp, which crun brings along."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    return library
