"""A registry's verbs for pulling: manifest, its digest, blobs; distribution-spec 1.0/1.1.

Anonymous first; on 401 the name and password, or a token bought with them. Whatever comes is
verified against its digest; a broken transfer goes on where it stopped.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

from runtime.api import RegistryAccess
from runtime.embedded.registry import auth
from runtime.embedded.registry.documents import LARGEST, Descriptor
from runtime.embedded.registry.faults import (
    AccessDenied,
    NotInRegistry,
    PasswordMissing,
    RegistryFailed,
    RegistryUnreachable,
    WrongContent,
)
from runtime.embedded.registry.manifest import ACCEPT
from runtime.embedded.registry.transport import Interrupted, Pace, Transport
from runtime.reference import DEFAULT_HOST, BadDigest, Reference, check_digest

if TYPE_CHECKING:
    from hashlib import _Hash

    from requests import Response

Result = TypeVar("Result")

TRIES = 5  # without progress between them
_PROGRESS = 1 << 16  # bytes; less is none
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 30.0
_LONGEST_TOKEN = 1 << 20
_DIGEST_HEADER = "Docker-Content-Digest"
_MANIFESTS = {"Accept": ", ".join(ACCEPT)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A document as it came, with its verified digest."""

    raw: bytes
    digest: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Begun:
    """What is here already of a blob: so many bytes, and the hash over them, to be continued."""

    size: int
    hashed: "_Hash"


class Client:
    """One registry, spoken to by several threads; ``close`` it."""

    def __init__(
        self,
        access: RegistryAccess,
        *,
        tries: int = TRIES,
        pace: Pace | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._access, self._tries, self._pace, self._sleep = access, tries, pace, sleep
        self._authorizations: dict[str, str] = {}
        self._transport = self._connect()

    def manifest(self, reference: Reference, version: str = "") -> Fetched:
        """The manifest or index that ``version`` (a tag or digest; else the reference's own)
        names. Raises ``NotInRegistry``, ``AccessDenied``, ``WrongContent`` ..."""
        version = version or reference.version

        def ask() -> Fetched:
            with self._ask("GET", reference, f"manifests/{version}", _MANIFESTS) as response:
                raw = self._transport.body(response, LARGEST)
                kind = response.headers.get("Content-Type", "")
                digest = self._verified(raw, version, response.headers.get(_DIGEST_HEADER, ""))
                return Fetched(raw=raw, digest=digest, media_type=kind)

        return self._patiently(ask)

    def digest(self, reference: Reference) -> str:
        """The digest that the reference's tag has now, by one HEAD request where the registry
        gives it. It is only for comparing: what is pulled is verified."""

        def ask() -> str:
            path = f"manifests/{reference.version}"
            with self._ask("HEAD", reference, path, _MANIFESTS) as response:
                return str(response.headers.get(_DIGEST_HEADER, ""))

        said = self._patiently(ask)
        try:
            check_digest(said)
            return said
        except BadDigest:
            return self.manifest(reference).digest

    def blob(
        self, reference: Reference, blob: Descriptor, begun: Begun | None = None
    ) -> Iterator[bytes]:
        """A blob's bytes as they come, after those ``begun`` with. The end is reached only when
        size and digest of the whole are right: until then nothing of it may be believed. Goes on
        after a broken connection."""
        got, hashed = (begun.size, begun.hashed) if begun else (0, hashlib.sha256())
        tries = 0
        while got < blob.size:
            before = got
            try:
                for piece in self._part(reference, blob, got):
                    got += len(piece)
                    if got > blob.size:
                        raise self._wrong(blob.digest, f"it has more than {blob.size:,} bytes")
                    hashed.update(piece)
                    yield piece
                if got < blob.size:
                    raise Interrupted(f"only {got:,} of {blob.size:,} bytes came")
            except Interrupted as broken:
                tries = 1 if got - before >= _PROGRESS else tries + 1
                self._wait(broken, tries)
        if f"sha256:{hashed.hexdigest()}" != blob.digest:
            raise self._wrong(blob.digest, f"its digest is sha256:{hashed.hexdigest()}")

    def document(self, reference: Reference, blob: Descriptor) -> bytes:
        """A small blob as a whole: an image's configuration."""
        if blob.size > LARGEST:
            raise RegistryFailed(self._access.host, f"a document of more than {LARGEST:,} bytes")
        return b"".join(self.blob(reference, blob))

    def close(self) -> None:
        self._transport.close()

    def _connect(self) -> Transport:
        """Plain http on loopback; else https. An insecure registry's certificate is not checked,
        and where it has none http will do."""
        host = "registry-1.docker.io" if self._access.host == DEFAULT_HOST else self._access.host
        if _is_loopback(host):
            return Transport(f"http://{host}", pace=self._pace)
        secure = Transport(f"https://{host}", verify=not self._access.insecure, pace=self._pace)
        if not self._access.insecure:
            return secure
        try:
            with secure.open("GET", f"{secure.base}/v2/", {}):
                return secure
        except (Interrupted, RegistryUnreachable):
            secure.close()
            return Transport(f"http://{host}", pace=self._pace)

    def _part(self, reference: Reference, blob: Descriptor, start: int) -> Iterator[bytes]:
        """The blob from ``start`` on, also from a registry that knows no ranges."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._ask("GET", reference, f"blobs/{blob.digest}", headers) as response:
            skip = start if response.status_code == 200 else 0
            said = response.headers.get("Content-Range", "")
            if response.status_code == 206 and not said.startswith(f"bytes {start}-"):
                raise Interrupted(f"it sent the range {said[:60]!r}")
            for piece in self._transport.pieces(response):
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                yield piece[skip:] if skip else piece
                skip = 0

    @contextmanager
    def _ask(
        self, method: str, reference: Reference, path: str, headers: dict[str, str]
    ) -> "Iterator[Response]":
        """The answer to one request about the reference's repository, authorized if need be."""
        repository = reference.repository
        url = f"{self._transport.base}/v2/{repository}/{path}"
        for first in (True, False):
            authorization = self._authorizations.get(repository, "")
            with self._transport.open(method, url, headers, authorization) as response:
                if response.status_code == 401 and first and self._transport.is_own(response.url):
                    self._authorize(response.headers.get("WWW-Authenticate", ""), repository)
                    continue
                self._check(response, reference)
                yield response
                return

    def _check(self, response: "Response", reference: Reference) -> None:
        status, host = response.status_code, self._access.host
        if status in (401, 403):
            known = bool(self._access.username)
            raise AccessDenied(host, reference.repository, with_password=known)
        if status == 404:
            raise NotInRegistry(str(reference))
        if status not in (200, 206):
            raise RegistryFailed(host, f"HTTP status {status}", status=status)

    def _authorize(self, header: str, repository: str) -> None:
        """Prepare what the registry's challenge asks for."""
        asked = auth.challenge(header)
        if asked.scheme == "bearer":
            self._authorizations[repository] = self._token(asked, repository)
        elif asked.scheme == "basic" and self._access.username:
            self._authorizations[repository] = self._basic()

    def _basic(self) -> str:
        """Raises ``PasswordMissing``."""
        if self._access.missing:
            raise PasswordMissing(self._access.host, self._access.missing)
        return auth.basic(self._access.username, self._access.password)

    def _token(self, asked: auth.Challenge, repository: str) -> str:
        """Get a token, with the password only from a server that may know it."""
        base, host = self._transport.base, self._access.host
        if not auth.may_ask(asked.realm, base):
            raise RegistryFailed(host, f"it wants a token from {asked.realm[:200]!r}")
        trusted = self._access.username and auth.may_know_password(asked.realm, base)
        url = auth.token_url(asked, repository)
        server = Transport(url, verify=not self._access.insecure, pace=self._pace)
        try:
            with server.open("GET", url, {}, self._basic() if trusted else "") as response:
                if response.status_code in (401, 403):
                    raise AccessDenied(host, repository, with_password=bool(trusted))
                if response.status_code != 200:
                    raise RegistryFailed(host, f"its token server: {response.status_code}")
                return auth.bearer(server.body(response, _LONGEST_TOKEN))
        finally:
            server.close()

    def _patiently(self, ask: Callable[[], Result]) -> Result:
        tries = 0
        while True:
            try:
                return ask()
            except Interrupted as broken:
                tries += 1
                self._wait(broken, tries)

    def _wait(self, broken: Interrupted, tries: int) -> None:
        """Before another try: twice as long each time, with chance, or as the server says."""
        if tries >= self._tries:
            if broken.status:
                raise RegistryFailed(
                    self._access.host, broken.why, status=broken.status
                ) from broken
            raise RegistryUnreachable(self._access.host, broken.why) from broken
        wait = _FIRST_WAIT * 2 ** (tries - 1) * random.uniform(0.5, 1.5)
        self._sleep(min(_LONGEST_WAIT, wait if broken.wait is None else broken.wait))

    def _verified(self, raw: bytes, version: str, said: str) -> str:
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        if version.startswith("sha256:") and version != digest:
            raise self._wrong(version, f"its digest is {digest}")
        if said.startswith("sha256:") and said != digest:
            raise self._wrong(said[:100], f"its digest is {digest}")
        return digest

    def _wrong(self, digest: str, why: str) -> WrongContent:
        return WrongContent(self._access.host, digest, why)


def _is_loopback(host: str) -> bool:
    """Whether ``host`` (with or without a port) is this machine by number or by name."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"
