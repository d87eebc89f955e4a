"""A registry's verbs for pushing: blobs, mounted or sent, and manifests; distribution-spec 1.1,
"Push"."""

from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlencode, urlsplit

from runtime.api import RegistryAccess
from runtime.embedded.registry.documents import Descriptor
from runtime.embedded.registry.faults import AccessDenied, NotInRegistry, RegistryFailed
from runtime.embedded.registry.session import PUSH, TRIES, Result, Session
from runtime.embedded.registry.stop import Stop
from runtime.embedded.registry.transport import Body, Pace
from runtime.reference import Reference

_BYTES = {"Content-Type": "application/octet-stream"}


class Uploader:
    """One registry to send to, spoken to by several threads; ``close`` it."""

    def __init__(
        self,
        access: RegistryAccess,
        *,
        tries: int = TRIES,
        pace: Pace | None = None,
        sleep: Callable[[float], None] | None = None,
        stop: Stop | None = None,
    ) -> None:
        self._session = Session(
            access, actions=PUSH, tries=tries, pace=pace, sleep=sleep, stop=stop
        )

    @property
    def stop(self) -> Stop:
        return self._session.stop

    def close(self) -> None:
        self._session.close()

    def has(self, reference: Reference, blob: Descriptor) -> bool:
        """Whether the repository has the blob already."""

        def ask() -> bool:
            path = f"blobs/{blob.digest}"
            with self._session.ask("HEAD", reference, path, {}):
                return True

        try:
            return self._session.patiently(ask)
        except NotInRegistry:
            return False

    def send(self, reference: Reference, blob: Descriptor, body: Body, source: str = "") -> bool:
        """Bring the blob there: mounted from ``source``, another repository of this registry, if
        it has it there (then True), else by ``body`` in one piece; from the start again when that
        breaks off. Raises ``AccessDenied``, ``RegistryFailed``, ``RegistryUnreachable``."""
        if source:  # whatever it has against mounting, it may still take the bytes
            with suppress(AccessDenied, RegistryFailed):
                return self._sent(reference, blob, body, source)
        return self._sent(reference, blob, body, "")

    def _sent(self, reference: Reference, blob: Descriptor, body: Body, source: str) -> bool:
        def bring() -> bool:
            query = urlencode({"mount": blob.digest, "from": source}) if source else ""
            path = f"blobs/uploads/?{query}" if query else "blobs/uploads/"
            with self._session.ask(
                "POST", reference, path, {"Content-Length": "0"}, accept=(201, 202), also=source
            ) as begun:
                if begun.status_code == 201:
                    return True
                place = self._session.led_to(begun)
            joint = "&" if urlsplit(place).query else "?"
            headers = {**_BYTES, "Content-Length": str(blob.size)}
            with self._session.ask(
                "PUT",
                reference,
                f"{place}{joint}{urlencode({'digest': blob.digest})}",
                headers,
                accept=(201,),
                body=body,
                also=source,
            ):
                return False

        return self._ask(reference, bring)

    def put_manifest(self, reference: Reference, raw: bytes, media_type: str, digest: str) -> None:
        """Let the reference's tag mean the manifest. Raises ``RegistryFailed`` when the registry
        has understood another one."""

        def put() -> str:
            with self._session.ask(
                "PUT",
                reference,
                f"manifests/{reference.version}",
                {"Content-Type": media_type},
                accept=(201, 202),
                body=lambda: raw,
            ) as response:
                return str(response.headers.get("Docker-Content-Digest", ""))

        said = self._ask(reference, put)
        if said.startswith("sha256:") and said != digest:
            why = f"it took the manifest {digest} for {said[:80]}"
            raise RegistryFailed(self._session.host, why)

    def _ask(self, reference: Reference, ask: Callable[[], Result]) -> Result:
        """Patiently; some registries want a repository to be made before anything is sent."""
        try:
            return self._session.patiently(ask)
        except NotInRegistry as error:
            why = f"there is no repository {reference.repository}: it must be made there first"
            raise RegistryFailed(self._session.host, why, status=404) from error
