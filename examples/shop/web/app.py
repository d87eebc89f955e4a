"""The shop: a page that counts visits in redis and orders in postgres.

GET / shows both counts, POST /orders adds an order (its body is the article), GET /orders lists
them, GET /health answers while both servers do. The standard library is all it needs.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import postgres
import redis

TABLE = "CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, article text NOT NULL)"
PASSWORD = os.environ["POSTGRES_PASSWORD"]
LONGEST = 200  # bytes of an article's name


def query(sql: str) -> list[list[str]]:
    return postgres.query("postgres", 5432, "postgres", PASSWORD, "shop", sql)


def count_orders() -> str:
    return query("SELECT count(*) FROM orders")[0][0]


class Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/":
                visits = redis.call("redis", 6379, "INCR", "visits")
                self._answer(200, f"Visits: {visits}. Orders: {count_orders()}.\n")
            case "/orders":
                rows = query("SELECT id, article FROM orders ORDER BY id")
                self._answer(200, "".join(f"{number} {article}\n" for number, article in rows))
            case "/health":
                redis.call("redis", 6379, "PING")
                query("SELECT 1")
                self._answer(200, "healthy\n")
            case _:
                self._answer(404, "There is no such page.\n")

    def do_POST(self) -> None:
        if self.path != "/orders":
            self._answer(404, "Orders go to /orders.\n")
            return
        length = min(int(self.headers.get("Content-Length", 0)), LONGEST)
        article = self.rfile.read(length).decode(errors="replace").strip() or "something"
        query(f"INSERT INTO orders (article) VALUES ({postgres.quoted(article)})")
        self._answer(201, f"Thank you. Orders: {count_orders()}.\n")

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, postgres.Refused, redis.Refused) as failure:
            self._answer(503, f"A server does not answer: {failure}\n")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = False  # who is being served when the end comes is served


# The first process of a container gets no default signal handlers: without this, `down` would
# wait for the whole grace period.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
query(TABLE)
with Server(("", 8000), Shop) as server:
    server.serve_forever()
