"""A file of logins: Docker's ``config.json`` or podman's ``auth.json``, read and changed.

What is not about logins stays as it is, in its order. Every change is read, made and written
under a lock, whole or not at all.
"""

import base64
import binascii
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import durable
from runtime.credentials import hosts
from runtime.credentials.faults import LoginsDamaged, LoginsUnwritable

LARGEST = 4 << 20  # bytes
_LOCK_SECONDS = 30.0

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What lets somebody in: a password, or an identity token (OAuth 2 refresh token)."""

    username: str
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Secret(username={self.username!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginsFile:
    """One such file, whether or not it is there. ``podman``: it is written as podman does."""

    path: Path
    podman: bool = False

    def read(self) -> "Logins":
        """Raises ``LoginsDamaged``."""
        return Logins(path=self.path, document=_document(self.path))

    def key(self, host: str) -> str:
        """The key under which this file keeps the login for all of a registry."""
        return hosts.podman_key(host) if self.podman else hosts.docker_key(host)

    def change(self, change: Callable[["Logins"], None]) -> None:
        """Let ``change`` alter what is in the file. A link is followed; owner and group stay,
        the mode becomes 0600. Raises ``LoginsDamaged``, ``LoginsUnwritable``, ``DiskFull``."""
        path = Path(os.path.realpath(self.path))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with durable.lock(
                path.with_name(f".{path.name}.lock"), what=str(self.path), timeout=_LOCK_SECONDS
            ):
                logins = self.read()
                change(logins)
                text = json.dumps(logins.document, indent="\t", ensure_ascii=False)
                durable.write(path, f"{text}\n".encode(), mode=0o600, owner=_owner(path))
        except OSError as error:
            raise LoginsUnwritable(str(self.path), error.strerror or str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """What stands in such a file. Raises ``LoginsDamaged`` for what is not as it should be,
    once that is wanted."""

    path: Path
    document: Document

    def secret(self, host: str, repository: str) -> Secret | None:
        """The login that fits best: that of the longest namespace the repository lies in."""
        found = [key for _, key in sorted(self._fitting(host, repository))]
        secrets = ((key, _secret(self._entries()[key], self._bad(key))) for key in found)
        return next((secret for _, secret in secrets if secret is not None), None)

    def helper(self, host: str) -> tuple[str, str] | None:
        """The program that keeps the login, and the name by which it knows the registry. None: it
        stands in the file, as Docker has it also where ``credHelpers`` says "" of the registry."""
        for key, name in self._texts("credHelpers").items():
            if hosts.namespace(key, host) == "":
                return (name, key) if name else None
        store = self.document.get("credsStore") or ""
        if not isinstance(store, str):
            raise LoginsDamaged(str(self.path), "`credsStore` is not the name of a program")
        return (store, hosts.docker_key(host)) if store else None

    def names(self, host: str) -> list[str]:
        """The keys of all that is there for the whole registry."""
        return [key for key in self._entries() if hosts.namespace(key, host) == ""]

    def enter(self, key: str, host: str, secret: Secret | None) -> None:
        """Let ``key`` be the only login for the whole registry; None: a program keeps it."""
        gone = [each for each in self.names(host) if each != key]
        left = {each: entry for each, entry in self._entries().items() if each not in gone}
        self.document["auths"] = {**left, key: {} if secret is None else _entry(secret)}

    def strike(self, host: str) -> None:
        """Take the logins for the whole registry away."""
        gone = self.names(host)
        left = {key: entry for key, entry in self._entries().items() if key not in gone}
        self.document["auths"] = left

    def _fitting(self, host: str, repository: str) -> Iterator[tuple[tuple[int, int], str]]:
        """(rank, key) of the entries that speak of the repository, the lowest rank first: the
        longest namespace, then the shortest key, since Docker keeps tokens beside its own."""
        for key in self._entries():
            place = hosts.namespace(key, host)
            if place is not None and hosts.covers(place, repository):
                yield (-len(place), len(key)), key

    def _entries(self) -> Document:
        entries = self.document.get("auths") or {}
        if not isinstance(entries, dict):
            raise LoginsDamaged(str(self.path), "`auths` is not a map of registries")
        return entries

    def _texts(self, key: str) -> dict[str, str]:
        found = self.document.get(key) or {}
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise LoginsDamaged(str(self.path), f"`{key}` is not a map of names")
        return found

    def _bad(self, key: str) -> LoginsDamaged:
        return LoginsDamaged(str(self.path), f"what stands under {key!r} is no login")


def _document(path: Path) -> Document:
    """Raises ``LoginsDamaged``; a file that is not there, or empty, is one without logins."""
    raw = b""
    try:
        with _opened(path) as fd:
            while len(raw) <= LARGEST and (piece := os.read(fd, LARGEST)):
                raw += piece
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise LoginsDamaged(str(path), error.strerror or str(error)) from error
    if len(raw) > LARGEST:
        raise LoginsDamaged(str(path), f"it has more than {LARGEST:,} bytes")
    try:
        document = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise LoginsDamaged(str(path), f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise LoginsDamaged(str(path), "it is not a JSON object")
    return document


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Without waiting for the other end of a pipe."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def _owner(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_uid, status.st_gid


def _secret(entry: object, bad: LoginsDamaged) -> Secret | None:
    """None: nothing is kept here, since a program keeps it."""
    if not isinstance(entry, dict):
        raise bad
    username, password, token, both = (
        entry.get(key) or "" for key in ("username", "password", "identitytoken", "auth")
    )
    if not all(isinstance(text, str) for text in (username, password, token, both)):
        raise bad
    if not is_text(f"{username}{password}{token}"):
        raise bad
    if both:
        username, password = _parted(both, bad)
    if not token and not (username and password):
        return None
    return Secret(username=username, password="" if token else password, identity_token=token)


def is_text(text: str) -> bool:
    """Whether it can be told anybody: JSON has escapes for half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parted(both: str, bad: LoginsDamaged) -> tuple[str, str]:
    """Name and password out of base64; Docker once padded the password with zero bytes."""
    try:
        text = base64.b64decode(both, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise bad from error
    username, colon, password = text.partition(":")
    if not colon:
        raise bad
    return username, password.rstrip("\0")


def _entry(secret: Secret) -> dict[str, str]:
    both = base64.b64encode(f"{secret.username}:{secret.password}".encode()).decode()
    token = {"identitytoken": secret.identity_token} if secret.identity_token else {}
    return {"auth": both, **token}
