"""Counts visits in /data/visits and tells each visitor its number and address."""

import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

COUNT = Path("/data/visits")
counting = Lock()


def next_number() -> int:
    with counting:
        number = int(COUNT.read_text()) + 1 if COUNT.exists() else 1
        fresh = COUNT.with_suffix(".new")
        fresh.write_text(str(number))
        fresh.replace(COUNT)
        return number


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        visitor = self.headers.get("X-Real-IP", self.client_address[0])
        body = f"Hello from trueup. You are visitor {next_number()}, from {visitor}.\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# The first process of a container gets no default signal handlers: without this, `down` would
# wait for the whole grace period.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
ThreadingHTTPServer(("", 8000), Page).serve_forever()
