"""A registry's verbs for pulling: manifest, its digest, blobs, tags; distribution-spec 1.0/1.1.

Whatever comes is verified against its digest; a broken transfer goes on where it stopped.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.api import RegistryAccess
from runtime.embedded.registry.documents import LARGEST, BadDocument, Descriptor
from runtime.embedded.registry.faults import NotInRegistry, RegistryFailed, WrongContent
from runtime.embedded.registry.manifest import (
    ACCEPT,
    Manifest,
    Platform,
    choose,
    parse,
    refuse_schema_1,
)
from runtime.embedded.registry.session import TRIES, Session
from runtime.embedded.registry.stop import Stop
from runtime.embedded.registry.transport import Interrupted, Pace
from runtime.reference import BadDigest, Reference, check_digest

if TYPE_CHECKING:
    from hashlib import _Hash

_DEEPEST_INDEX = 3
_PROGRESS = 1 << 16  # bytes; less is none
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9._/-]{0,254}")
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
        sleep: Callable[[float], None] | None = None,
        stop: Stop | None = None,
    ) -> None:
        self.session = Session(access, tries=tries, pace=pace, sleep=sleep, stop=stop)

    def manifest(self, reference: Reference, version: str = "") -> Fetched:
        """The manifest or index that ``version`` (a tag or digest; else the reference's own)
        names. Raises ``NotInRegistry``, ``AccessDenied``, ``WrongContent`` ..."""
        version = version or reference.version

        def ask() -> Fetched:
            with self.session.ask("GET", reference, f"manifests/{version}", _MANIFESTS) as response:
                raw = self.session.body(response, LARGEST)
                kind = response.headers.get("Content-Type", "")
                refuse_schema_1(kind)  # its digest is that of what was signed: it would seem wrong
                digest = self._verified(raw, version, response.headers.get(_DIGEST_HEADER, ""))
                return Fetched(raw=raw, digest=digest, media_type=kind)

        return self.session.patiently(ask)

    def chosen(
        self,
        reference: Reference,
        top: Fetched,
        platform: Platform,
        documents: dict[str, bytes],
    ) -> Manifest:
        """Walk down an index, nested a few times at most, to the image for ``platform``; what is
        fetched on the way is added to ``documents``, by digest. Raises ``BadDocument``,
        ``NoPlatform`` ..."""
        fetched = top
        for _ in range(_DEEPEST_INDEX + 1):
            document = parse(fetched.raw, fetched.media_type)
            if isinstance(document, Manifest):
                return document
            chosen = choose(document, platform, reference.familiar)
            fetched = self.manifest(reference, chosen.digest)
            documents[fetched.digest] = fetched.raw
        raise BadDocument("index", f"it is nested more than {_DEEPEST_INDEX} times")

    def digest(self, reference: Reference) -> str:
        """The digest that the reference's tag has now, by one HEAD request where the registry
        gives it. It is only for comparing: what is pulled is verified."""

        def ask() -> str:
            path = f"manifests/{reference.version}"
            with self.session.ask("HEAD", reference, path, _MANIFESTS) as response:
                return str(response.headers.get(_DIGEST_HEADER, ""))

        said = self.session.patiently(ask)
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
                self.session.wait(broken, tries)
        if f"sha256:{hashed.hexdigest()}" != blob.digest:
            raise self._wrong(blob.digest, f"its digest is sha256:{hashed.hexdigest()}")

    def document(self, reference: Reference, blob: Descriptor) -> bytes:
        """A small blob as a whole: an image's configuration."""
        if blob.size > LARGEST:
            raise RegistryFailed(self.session.host, f"a document of more than {LARGEST:,} bytes")
        return b"".join(self.blob(reference, blob))

    def tags(self, reference: Reference) -> list[str]:
        """Every tag of the reference's repository, page by page."""
        return self.session.listed(reference, "tags/list", "tags", _TAG)

    def catalogue(self) -> list[str]:
        """Every repository that the registry tells of. Raises ``RegistryFailed`` when it tells of
        none at all, as public ones do."""
        everything = Reference(host=self.session.host, repository="", tag="latest")
        try:
            return self.session.listed(everything, "_catalog", "repositories", _REPOSITORY)
        except NotInRegistry as error:
            why = "it has no list of its repositories"
            raise RegistryFailed(self.session.host, why, status=404) from error

    def close(self) -> None:
        self.session.close()

    def _part(self, reference: Reference, blob: Descriptor, start: int) -> Iterator[bytes]:
        """The blob from ``start`` on, also from a registry that knows no ranges."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self.session.ask(
            "GET", reference, f"blobs/{blob.digest}", headers, accept=(200, 206)
        ) as response:
            skip = start if response.status_code == 200 else 0
            said = response.headers.get("Content-Range", "")
            if response.status_code == 206 and not said.startswith(f"bytes {start}-"):
                raise Interrupted(f"it sent the range {said[:60]!r}")
            for piece in self.session.pieces(response):
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                yield piece[skip:] if skip else piece
                skip = 0

    def _verified(self, raw: bytes, version: str, said: str) -> str:
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        if version.startswith("sha256:") and version != digest:
            raise self._wrong(version, f"its digest is {digest}")
        if said.startswith("sha256:") and said != digest:
            raise self._wrong(said[:100], f"its digest is {digest}")
        return digest

    def _wrong(self, digest: str, why: str) -> WrongContent:
        return WrongContent(self.session.host, digest, why)
