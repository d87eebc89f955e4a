"""An HTTP server on loopback that answers as a test says, and remembers what it was asked."""

import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``body`` may come in pieces; without ``length`` its true length is announced."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


Script = Callable[[Asked], Answer]


class _Quiet(ThreadingHTTPServer):
    """Clients that leave early are what the tests are about."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Server:
    """``routes`` lead from a path (without its query) to an answer or a function that makes it."""

    def __init__(self, host: str, port: int = 0) -> None:
        self.routes: dict[str, Answer | Script] = {}
        self.asked: list[Asked] = []
        self.callers: set[tuple[str, int]] = set()
        self._http = _Quiet((host, port), self._handler())
        self.host = f"{host}:{self._http.server_port}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def authorizations(self) -> list[str]:
        """What it learnt of passwords and tokens."""
        return [a.headers["Authorization"] for a in self.asked if "Authorization" in a.headers]

    def use_tls(self, certificate: Path, *, clients: Path | None = None) -> None:
        """Speak https with a certificate, its key in the same file; to those alone who show one
        that is signed by ``clients``, where that is given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    @property
    def port(self) -> int:
        return int(self._http.server_port)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = dict(self.headers)
                asked = Asked(method=self.command, path=self.path, headers=headers, body=sent)
                server.asked.append(asked)
                server.callers.add(self.client_address)
                route = server.routes.get(self.path.partition("?")[0], Answer(status=404))
                self._send(route if isinstance(route, Answer) else route(asked))

            do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the names are http.server's

            def _send(self, answer: Answer) -> None:
                whole = answer.body if isinstance(answer.body, bytes) else None
                length = answer.length if whole is None or answer.length else len(whole)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if length is not None:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command == "HEAD":
                    return
                self.close_connection = whole is None or length != len(whole)
                try:
                    for piece in [whole] if whole is not None else answer.body:
                        self.wfile.write(piece)  # type: ignore[arg-type]
                        self.wfile.flush()
                except OSError:
                    self.close_connection = True  # the client has seen enough

            def log_message(self, *words: object) -> None:
                pass

        return Handler


@contextmanager
def serving(host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
    server = Server(host, port)
    try:
        yield server
    finally:
        server.close()


def digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def descriptor(kind: str, raw: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest(raw), "size": len(raw)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a server was told to serve as ``app:latest``."""

    manifest: bytes
    config: bytes
    layers: tuple[bytes, ...]


def publish(
    server: Server,
    *layers: tuple[bytes, bytes],
    name: str = "app",
    architecture: str = "",
    **told: object,
) -> Published:
    """Serve an image; each layer as (plain archive, blob). ``told`` is what else its configuration
    says."""
    ids = [digest(plain) for plain, _ in layers]
    said = {"os": "linux", "architecture": architecture} if architecture else {}
    config = json.dumps({**said, **told, "rootfs": {"type": "layers", "diff_ids": ids}}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, config),
            "layers": [descriptor(OCI_LAYER, blob) for _, blob in layers],
        }
    ).encode()
    found = Answer(headers={"Content-Type": OCI_MANIFEST}, body=manifest)
    server.routes[f"/v2/{name}/manifests/latest"] = found
    server.routes[f"/v2/{name}/manifests/{digest(manifest)}"] = found
    for blob in (config, *(blob for _, blob in layers)):
        server.routes[f"/v2/{name}/blobs/{digest(blob)}"] = Answer(body=blob)
    return Published(manifest=manifest, config=config, layers=tuple(blob for _, blob in layers))
