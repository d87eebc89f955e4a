"""An HTTP proxy on loopback: CONNECT and forwarding, to where a test says that names lead."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Proxy:
    """``leads`` is from HOST:PORT to the port of a server on loopback; who asks for another, or
    does not show ``customer`` (where that is set), is refused. ``asked`` is (method, HOST:PORT),
    ``told`` every byte of headers that came in the clear."""

    def __init__(self, host: str, customer: str = "") -> None:
        self.leads: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []
        self.told = ""
        self.customer = customer
        self._http = ThreadingHTTPServer((host, 0), self._handler())
        self._http.daemon_threads = True
        self.host = f"{host}:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _port(self, place: str) -> int | None:
                proxy.asked.append((self.command, place))
                proxy.told += f"{self.requestline}\n{self.headers}"
                self.close_connection = True
                if proxy.customer and self.headers.get("Proxy-Authorization") != proxy.customer:
                    self.send_error(407)
                    return None
                if place not in proxy.leads:
                    self.send_error(403)
                return proxy.leads.get(place)

            def do_CONNECT(self) -> None:
                if (port := self._port(self.path)) is None:
                    return
                with socket.create_connection(("127.0.0.1", port)) as there:
                    self.send_response(200)
                    self.end_headers()
                    back = threading.Thread(target=_pass_on, args=(there, self.connection))
                    back.start()
                    _pass_on(self.connection, there)
                    back.join()

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if (port := self._port(parts.netloc)) is None:
                    return
                there = HTTPConnection("127.0.0.1", port)
                kept = {k: v for k, v in self.headers.items() if not k.startswith("Proxy-")}
                there.request(self.command, parts.path, headers=kept)
                answer = there.getresponse()
                body = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                there.close()

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *words: object) -> None:
                pass

        return Handler


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxying(host: str = "127.0.0.9", customer: str = "") -> Iterator[Proxy]:
    made = Proxy(host, customer)
    try:
        yield made
    finally:
        made.close()
