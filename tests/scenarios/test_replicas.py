"""Several replicas behind one name and one published port: who answers while some of them die, ail,
come, go and are updated.
"""

import re
import time

import pytest

from tests.eventually import PATIENCE, eventually
from tests.images.recipes import PAGE
from tests.scenarios.load import Load
from tests.scenarios.stage import Stage, kill, within
from tests.scenarios.test_watch import INTERVAL, watching

pytestmark = [pytest.mark.root, pytest.mark.slow]

PORT = 18080
# Says on /who its name, on /slow after a while; asked to end, it finishes what it has begun.
SERVER = f"""\
import signal, socket, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(1.0 if self.path == "/slow" else 0)
        body = {PAGE!r}.encode() if self.path == "/" else socket.gethostname().encode()
        self.send_response(200)
        self.send_header("Content-Length", len(body))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64
server = Server(("", 80), Page)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
open("/tmp/well", "w").close()
server.serve_forever(0.05)
server.server_close()
"""
WHILE = f"{10 * PATIENCE:g}s"  # to become well
SPEC = """\
project: crowd
containers:
  web:
    image: $python
    command: [python3, -I, -S, /srv/server.py, one]
    volumes: ["./server.py:/srv/server.py:ro"]
    ports: ["18080:80"]
    replicas: 3
    restart: "no"
    stop_grace_period: 3s
    healthcheck:
      test: [CMD, busybox, test, -e, /tmp/well]
      interval: 0.3s
      timeout: 10s
      retries: 1
      start_period: WHILE
      start_interval: 0.1s
    update: {parallelism: 1, order: start-first}
""".replace("WHILE", WHILE)
REPLICAS = ("web", "web.2", "web.3")


@pytest.fixture
def crowd(long_stage: Stage) -> Stage:
    """Three replicas that answer."""
    (long_stage.folder / "server.py").write_text(SERVER)
    long_stage.make(SPEC)
    eventually(lambda: who(long_stage, 3))
    return long_stage


def names(stage: Stage) -> dict[str, str]:
    """What each replica that runs says on /who."""
    running = (each for each in stage.state()["containers"] if each["pid"])
    return {each["name"]: each["id"][:12] for each in running}


def who(stage: Stage, count: int) -> bool:
    """Whether exactly these many of those that run answer."""
    said = {stage.answer(PORT, path="/who") for _ in range(6 * count)}
    return len(said) == count and said <= set(names(stage).values())


def only(stage: Stage, *replicas: str) -> bool:
    """Whether these replicas answer and no others."""
    known = names(stage)
    said = {stage.answer(PORT, path="/who") for _ in range(6 * len(replicas))}
    return said == {known[each] for each in replicas}


def test_requests_are_spread_over_all(crowd: Stage) -> None:
    said = [crowd.answer(PORT, path="/who") for _ in range(90)]
    shares = {name: said.count(name) for name in names(crowd).values()}
    assert sum(shares.values()) == 90, said
    assert min(shares.values()) >= 12, shares


def test_one_name_leads_to_all_from_within(crowd: Stage) -> None:
    script = (
        "import socket\n"
        "found = {e[4][0] for e in socket.getaddrinfo('web', 80, type=socket.SOCK_STREAM)}\n"
        "assert len(found) == 1, found\n"
        "for _ in range(40):\n"
        "    with socket.create_connection((found.copy().pop(), 80), 5) as s:\n"
        "        s.sendall(b'GET /who HTTP/1.0\\r\\n\\r\\n')\n"
        "        print(s.makefile().read().splitlines()[-1])\n"
    )
    said = within(crowd.pid("web"), "python3", "-I", "-S", "-c", script).split()
    assert set(said) == set(names(crowd).values()), said


def test_a_dead_one_is_taken_out_and_comes_back_with_apply(crowd: Stage) -> None:
    """By the pass that its end starts at once; until then clients meet it."""
    with watching(crowd) as watch:
        victim = crowd.pid("web.2")
        with Load(crowd, PORT) as load:
            kill(victim)
            killed = time.monotonic()
            time.sleep(INTERVAL + 1.5)
        assert set(load.failures(PAGE)) <= {"refused"}
        assert load.last.get("refused", killed) - killed < 1.5 * PATIENCE
        assert "web.2" in watch.log
        assert set(names(crowd)) == {"web", "web.3"}
        crowd.apply()
        eventually(lambda: who(crowd, 3))


def test_one_that_ails_is_taken_out_until_it_is_well(crowd: Stage) -> None:
    with watching(crowd):
        pids = crowd.pids()
        within(pids["web.2"], "busybox", "rm", "/tmp/well")
        eventually(lambda: only(crowd, "web", "web.3"), 4)
        with Load(crowd, PORT, path="/who") as load:
            time.sleep(1)
        assert set(load.said) == {names(crowd)[each] for each in ("web", "web.3")}
        within(pids["web.2"], "busybox", "touch", "/tmp/well")
        eventually(lambda: who(crowd, 3), 4)
        assert crowd.pids() == pids
        assert crowd.pending() == ""


def test_when_all_ail_all_go_on_answering(crowd: Stage) -> None:
    with watching(crowd) as watch:
        pids = crowd.pids()
        with Load(crowd, PORT) as load:
            for pid in pids.values():
                within(pid, "busybox", "rm", "/tmp/well")
            eventually(lambda: watch.log.count("status=unhealthy") == 3, 5)
            time.sleep(1)
            assert who(crowd, 3)
            for pid in pids.values():
                within(pid, "busybox", "touch", "/tmp/well")
            eventually(lambda: watch.log.count("status=healthy") >= 3, 5)
        assert load.failures(PAGE) == {}
        assert crowd.pids() == pids


def test_more_and_fewer_under_load_and_what_is_in_flight_ends_well(crowd: Stage) -> None:
    before = crowd.pids()
    with Load(crowd, PORT) as load, Load(crowd, PORT, path="/slow") as slow:
        for old, new in ((3, 5), (5, 1), (1, 3)):
            crowd.edit(f"replicas: {old}", f"replicas: {new}")
            crowd.apply()
            assert len(crowd.pids()) == new
        time.sleep(1.1)
    assert load.failures(PAGE) == {}
    assert [text for text in slow.said if not re.fullmatch("[0-9a-f]{12}", text)] == []
    assert crowd.pid("web") == before["web"]
    assert crowd.pending() == ""


def test_replicas_are_updated_one_by_one_under_load(crowd: Stage) -> None:
    before = names(crowd)
    crowd.edit("server.py, one]", "server.py, two]")
    with Load(crowd, PORT) as load, Load(crowd, PORT, path="/slow", threads=2) as slow:
        told = crowd.apply().stdout
        time.sleep(1.1)
    assert load.failures(PAGE) == {}
    assert [text for text in slow.said if not re.fullmatch("[0-9a-f]{12}", text)] == []
    assert set(names(crowd)) == set(REPLICAS)
    assert not set(names(crowd).values()) & set(before.values())
    assert who(crowd, 3)
    steps = re.findall(r"^(start|stop) container (web\S*)", told, re.MULTILINE)
    assert steps == [(verb, name) for name in REPLICAS for verb in ("start", "stop")]
    assert crowd.pending() == ""


def test_a_version_that_never_gets_well_leaves_the_old_ones_answering(crowd: Stage) -> None:
    before = names(crowd)
    ill = "[sh, -c, 'echo no licence; exec sleep 1000']"
    crowd.edit("[python3, -I, -S, /srv/server.py, one]", ill)
    crowd.edit(f"start_period: {WHILE}", "start_period: 0s")
    with Load(crowd, PORT) as load:
        failed = crowd.apply(code=1)
    assert load.failures(PAGE) == {}
    assert "| no licence" in failed.stderr
    assert "unhealthy" in failed.stderr
    assert "the old one goes on answering" in failed.stderr
    assert {crowd.answer(PORT, path="/who") for _ in range(24)} == set(before.values())
    crowd.edit("echo no licence; exec sleep 1000", "exec python3 -I -S /srv/server.py")
    crowd.edit("start_period: 0s", "start_period: 10s")
    crowd.apply()
    eventually(lambda: who(crowd, 3))
    assert not set(names(crowd).values()) & set(before.values())
    assert crowd.pending() == ""
