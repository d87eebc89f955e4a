"""What the kernel can do, by doing it once."""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from runtime.api import Finding, Verdict
from runtime.embedded.layers import overlay
from runtime.embedded.linux import mounts, rtnetlink
from runtime.embedded.linux.libc import check, libc
from runtime.embedded.linux.namespaces import CLONE_NEWNET, in_thread
from runtime.embedded.linux.netlink import Netlink
from runtime.embedded.nft.apply import Nft, RulesRefused
from runtime.errors import Fault

OLDEST = (5, 8)  # connections are forgotten by a filter since then
_MODULES = Path("/proc/modules")
_CLONE_NEWNS = 0x20000
_FSOPEN, _FSCONFIG, _SET_STRING = 430, 431, 1
_MOST_USERS = Path("/proc/sys/user/max_user_namespaces")

# What our tables are made of -> (rules that need it, the module that has it).
_NFTABLES = {
    "nat": ("type nat hook prerouting priority dstnat; dnat ip to 192.0.2.1", "nft_chain_nat"),
    "masquerade": ("type nat hook postrouting priority srcnat; masquerade", "nft_masq"),
    "fib": (
        "type filter hook prerouting priority raw; fib daddr type local accept",
        "nft_fib_inet",
    ),
    "numgen": (
        "type filter hook prerouting priority 0; numgen random mod 2 vmap { 0 : accept }",
        "nft_numgen",
    ),
    "connection tracking": ("type filter hook forward priority 0; ct state new accept", "nft_ct"),
    "reject": (
        "type filter hook forward priority 0; meta l4proto tcp reject with tcp reset",
        "nft_reject_inet",
    ),
    "maps of intervals": (
        "type filter hook forward priority 0; meta l4proto . th dport vmap { tcp . 1-2 : accept }",
        "nf_tables",
    ),
}


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """``work`` says in words what was found, and raises where it does not go; ``modules`` may be
    what the kernel lacks then."""

    subject: str
    work: Callable[[], str]
    modules: tuple[str, ...] = ()


def version() -> Finding:
    release = os.uname().release
    numbers = tuple(int(word) for word in release.split("-")[0].split(".")[:2] if word.isdigit())
    text = f"{release} {os.uname().machine}"
    if numbers >= OLDEST:
        return Finding(subject="kernel", verdict=Verdict.OK, text=text)
    wanted = ".".join(map(str, OLDEST))
    return Finding(subject="kernel", verdict=Verdict.BLOCKER, text=f"{text}, older than {wanted}")


def tried(folder: Path) -> tuple[Finding, ...]:
    """Each feature that the engine uses, in namespaces that end with their thread; file systems
    in ``folder``, where images will lie."""
    return (*in_thread(lambda: tuple(_trials(folder))), _user_namespaces())


def _trials(folder: Path) -> Iterator[Finding]:
    spaces = Trial(subject="namespaces", work=_unshare)
    yield (entered := _outcome(spaces))
    if entered.verdict is not Verdict.OK:
        return
    yield _outcome(Trial(subject="overlayfs", work=lambda: _overlay(folder), modules=("overlay",)))
    yield _outcome(Trial(subject="veth", work=_veth, modules=("veth",)))
    yield from _nftables()


def _outcome(trial: Trial) -> Finding:
    try:
        text = trial.work()
    except (OSError, Fault) as error:
        return lacking(trial.subject, str(error).replace("\n", "; "), trial.modules)
    return Finding(subject=trial.subject, verdict=Verdict.OK, text=text)


def lacking(subject: str, why: str, modules: tuple[str, ...]) -> Finding:
    """A blocker with the commands that load ``modules``, where the kernel has any."""
    loads = tuple(f"modprobe {name}" for name in modules) if _MODULES.exists() else ()
    return Finding(subject=subject, verdict=Verdict.BLOCKER, text=why, commands=loads)


def _unshare() -> str:
    check(libc.unshare(_CLONE_NEWNS | CLONE_NEWNET), "unshare mounts and network")
    mounts.make_private("/")
    return "mounts and network"


def _overlay(folder: Path) -> str:
    """Unseen by others: the mount is in the thread's namespace only."""
    place = Path(tempfile.mkdtemp(prefix=".trueup-doctor-", dir=folder))
    try:
        parts = [place / name for name in ("lower", "upper", "work", "target")]
        for part in parts:
            part.mkdir()
        lower, upper, work, target = parts
        (lower / "seen").touch()
        overlay.mount([lower], upper, work, target)
        try:
            (target / "seen").write_text("copied up")
        finally:
            overlay.unmount(target)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return f"in {folder}; layers {'one by one' if _adds_layers() else 'in one option'}"


def _adds_layers() -> bool:
    """Whether overlayfs takes ``lowerdir+`` (Linux 6.5), fsconfig(2)."""
    context = libc.syscall(_FSOPEN, b"overlay", 0)
    if context < 0:
        return False
    try:
        value = ctypes.c_char_p(b"/")
        return bool(libc.syscall(_FSCONFIG, context, _SET_STRING, b"lowerdir+", value, 0) == 0)
    finally:
        os.close(context)


def _veth() -> str:
    netlink = Netlink()
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        netlink.request([rtnetlink.new_veth("doctor0", 2, "doctor1", 3, own)])
    finally:
        os.close(own)
        netlink.close()
    return "pairs of links"


def _nftables() -> Iterator[Finding]:
    try:
        nft = Nft()
    except Fault as missing:
        yield Finding(
            subject="nftables",
            verdict=Verdict.BLOCKER,
            text=missing.what,
            commands=(missing.hint,),
        )
        return
    try:
        refused = {name: why for name in _NFTABLES if (why := _refusal(nft, name))}
    finally:
        nft.close()
    if not refused:
        yield Finding(subject="nftables", verdict=Verdict.OK, text=", ".join(_NFTABLES))
    for name, why in refused.items():
        yield lacking("nftables", f"no {name}: {why}", (_NFTABLES[name][1],))


def _refusal(nft: Nft, name: str) -> str:
    rules, _ = _NFTABLES[name]
    head, _, rule = rules.rpartition("; ")
    try:
        nft.apply(f"table inet doctor {{\n chain tried {{\n{head};\n{rule}\n}}\n}}\n")
        nft.apply("delete table inet doctor\n")
    except RulesRefused as refused:
        return refused.why
    return ""


def _user_namespaces() -> Finding:
    """Containers do without by default."""
    try:
        most = int(_MOST_USERS.read_text())
    except FileNotFoundError:
        most = 0
    return Finding(
        subject="user namespaces",
        verdict=Verdict.OK if most else Verdict.WARNING,
        text=f"up to {most}" if most else "none are allowed; only specs that ask for them need one",
        commands=()
        if most or not _MOST_USERS.exists()
        else ("sysctl -w user.max_user_namespaces=15000",),
    )
