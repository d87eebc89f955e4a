"""The programs that the engine starts: there, and new enough?"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec

from runtime import programs
from runtime.api import Finding, Verdict
from runtime.embedded.bundle import init
from runtime.errors import ProgramFailed, ProgramMissing

Version = tuple[int, ...]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A program, Debian's package of it, the oldest version that does, and what it is for."""

    name: str
    package: str
    oldest: Version
    use: str
    verdict: Verdict = Verdict.BLOCKER


_OCI = (
    Wanted(name="crun", package="crun", oldest=(1, 0), use="starts containers"),
    Wanted(name="runc", package="runc", oldest=(1, 0), use="starts containers"),
)
_OTHERS = (
    Wanted(name="conmon", package="conmon", oldest=(2, 1), use="keeps logs and exit codes"),
    Wanted(name="aardvark-dns", package="aardvark-dns", oldest=(1, 0), use="answers names"),
)
_DOCKER = Wanted(
    name="iptables",
    package="iptables",
    oldest=(1, 8),
    use="puts rules into the chain that Docker keeps for others",
    verdict=Verdict.WARNING,
)


def findings() -> Iterator[Finding]:
    """One per program; crun or runc is enough."""
    wanted = (*_OCI, *_OTHERS, *([_DOCKER] if is_there("dockerd") else []))
    with ThreadPoolExecutor(len(wanted)) as pool:
        found = list(pool.map(_look, wanted))
    runtimes, others = found[: len(_OCI)], found[len(_OCI) :]
    usable = [each for each in runtimes if each.verdict is Verdict.OK]
    yield from usable or runtimes[:1]
    yield from others
    yield _first_process()


def _first_process() -> Finding:
    try:
        found = init.find()
    except ProgramMissing as missing:
        return Finding(
            subject="init",
            verdict=Verdict.WARNING,
            text="no first process is installed for specs that say `init: true`",
            commands=(missing.hint,),
        )
    return Finding(subject="init", verdict=Verdict.OK, text=str(found))


def is_there(name: str) -> bool:
    """Whether a program is installed."""
    try:
        programs.find(name)
    except ProgramMissing:
        return False
    return True


def _look(wanted: Wanted) -> Finding:
    install = f"apt-get install {wanted.package}"
    try:
        text = programs.run([wanted.name, "--version"], timeout=5.0)
    except ProgramMissing:
        return _finding(wanted, wanted.verdict, f"is not installed; it {wanted.use}", install)
    except ProgramFailed as failed:
        return _finding(wanted, wanted.verdict, f"does not run: {failed.why}", install)
    return judged(wanted, text, install)


def judged(wanted: Wanted, text: str, install: str) -> Finding:
    """By what the program says of its version; one that says nothing is taken as it is."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    if found is None:
        return _finding(wanted, Verdict.OK, "of a version that it does not tell")
    version = tuple(map(int, found[0].split(".")))
    if version < wanted.oldest:
        oldest = ".".join(map(str, wanted.oldest))
        return _finding(wanted, wanted.verdict, f"{found[0]} is older than {oldest}", install)
    return _finding(wanted, Verdict.OK, found[0])


def _finding(wanted: Wanted, verdict: Verdict, text: str, *commands: str) -> Finding:
    return Finding(subject=wanted.name, verdict=verdict, text=text, commands=commands)
