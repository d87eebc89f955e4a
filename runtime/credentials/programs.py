"""Programs that keep logins: ``docker-credential-NAME get|store|erase``, words on stdin, JSON on
stdout (docker-credential-helpers).

They run with root's PATH and those few variables by which a vault is found; what they may take
of time and may say is bounded.
"""

import fcntl
import json
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from runtime import programs
from runtime.credentials.faults import BadHelperName, HelperFailed, HelperMissing
from runtime.credentials.files import Secret, is_text
from runtime.credentials.places import home
from runtime.errors import ProgramMissing

SECONDS = 30.0
LARGEST = 1 << 16  # bytes of an answer
TOKEN_USER = "<token>"  # the name that says: the secret is an identity token

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_NOT_FOUND = "credentials not found in native keychain"
# Where vaults of users and clouds are found, and how their keepers are spoken to.
_PASSED = re.compile(
    r"HOME|DISPLAY|WAYLAND_DISPLAY|DBUS_SESSION_BUS_ADDRESS|XDG_[A-Z_]+|GNUPGHOME|GPG_TTY"
    r"|PASSWORD_STORE_[A-Z_]+|AWS_[A-Z_]+|AZURE_[A-Z_]+|CLOUDSDK_[A-Z_]+"
    r"|GOOGLE_APPLICATION_CREDENTIALS|(?:HTTPS?|NO)_PROXY|(?:https?|no)_proxy"
)


class Helper:
    """The program that ``place`` (a file of logins) names; ``server`` is what it knows the
    registry by. Raises ``BadHelperName``, ``HelperMissing``, ``HelperFailed``."""

    def __init__(
        self, name: str, server: str, place: str, environ: Mapping[str, str], *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        if not _NAME.fullmatch(name):
            raise BadHelperName(name, place)
        self.program = f"docker-credential-{name}"
        self._server, self._place, self._environ, self._clock = server, place, environ, clock

    def get(self) -> Secret | None:
        """The login that it keeps, None when there is none."""
        status, said = self._ask("get", self._server)
        if status:
            if _NOT_FOUND in said:
                return None
            raise self._failed(said)
        try:
            answer = json.loads(said)
            username, secret = answer["Username"], answer["Secret"]
        except (ValueError, RecursionError, LookupError, TypeError) as error:
            raise self._failed("its answer is not a login in JSON") from error
        if not (
            isinstance(username, str) and isinstance(secret, str) and is_text(username + secret)
        ):
            raise self._failed("its answer is not a login in JSON")
        if username == TOKEN_USER:
            return Secret(username=username, identity_token=secret)
        return Secret(username=username, password=secret) if username and secret else None

    def store(self, secret: Secret) -> None:
        username = TOKEN_USER if secret.identity_token else secret.username
        words = {
            "ServerURL": self._server,
            "Username": username,
            "Secret": secret.identity_token or secret.password,
        }
        status, said = self._ask("store", json.dumps(words))
        if status:
            raise self._failed(said)

    def erase(self) -> None:
        """Afterwards it keeps none, whoever took it away."""
        status, said = self._ask("erase", self._server)
        if status and _NOT_FOUND not in said:
            raise self._failed(said)

    def _ask(self, verb: str, text: str) -> tuple[int, str]:
        """Its exit status and what it said, which is never shown unless it failed."""
        with _filled(text.encode()) as stdin, self._started(verb, stdin) as process:
            said = self._heard(process)
            return process.wait(), said.decode(errors="replace").strip()

    @contextmanager
    def _started(self, verb: str, stdin: int) -> Iterator[programs.Process]:
        """The running program; at the end of the block it has ended, with all it started."""
        passed = {key: self._environ[key] for key in self._environ if _PASSED.fullmatch(key)}
        try:
            process = programs.spawn(
                [self.program, verb],
                environment={
                    **programs.ENVIRONMENT,
                    **passed,
                    "HOME": str(home(self._environ)),
                },
                stdin=stdin,
                stdout=programs.PIPE,
            )
        except ProgramMissing as missing:
            raise HelperMissing(self.program, self._place) from missing
        except OSError as error:
            raise self._failed(f"it cannot be started: {error.strerror}") from error
        with process:
            try:
                yield process
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise

    def _heard(self, process: programs.Process) -> bytes:
        """All that it says until it ends: a keeper that it leaves behind may hold the pipe."""
        assert process.stdout
        out, said, end = process.stdout.fileno(), b"", self._clock() + SECONDS
        ended = os.pidfd_open(process.pid)
        try:
            open_ends = select.poll()
            open_ends.register(out, select.POLLIN)
            open_ends.register(ended, select.POLLIN)
            while len(said) <= LARGEST:
                left = max(0.0, end - self._clock())
                ready = {fd for fd, _ in open_ends.poll(left * 1000)}
                if not ready:
                    raise self._failed(f"it did not end within {SECONDS:.0f} s")
                if out in ready:
                    said += (piece := os.read(out, LARGEST))
                    if not piece:
                        open_ends.unregister(out)
                elif ended in ready:
                    return said
        finally:
            os.close(ended)
        raise self._failed(f"its answer has more than {LARGEST:,} bytes")

    def _failed(self, why: str) -> HelperFailed:
        return HelperFailed(self.program, why[:500] or "it gave no reason", self._place)


@contextmanager
def _filled(content: bytes) -> Iterator[int]:
    """A descriptor from which a program reads ``content``; the secret touches no disk."""
    fd = os.memfd_create("words", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, content)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
