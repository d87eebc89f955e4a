"""Published ports: every form, where each answers and where not, and ports that others have."""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Trueup
from tests.eventually import eventually
from tests.hosts import Namespace
from tests.scenarios.stage import Stage, answer, started, within

pytestmark = pytest.mark.root

# Answers on port 80, tcp and udp, and on port 15000, udp, with the address that it was called from.
SERVER = """
import socketserver, threading

class Page(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        body = f"for {self.client_address[0]}".encode()
        head = f"HTTP/1.0 200 OK\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n".encode()
        self.wfile.write(head + body)

class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(f"for {self.client_address[0]}".encode(), self.client_address)

socketserver.ThreadingTCPServer.allow_reuse_address = True
pages = socketserver.ThreadingTCPServer(("", 80), Page)
for number in (80, 15000):
    datagrams = socketserver.ThreadingUDPServer(("", number), Datagram)
    threading.Thread(target=datagrams.serve_forever, daemon=True).start()
pages.serve_forever()
"""
SPEC = """
project: shop
containers:
  web:
    image: $python
    command: [python3, /server.py]
    volumes: ["./server.py:/server.py:ro"]
    environment: {VERSION: "1"}
    ports: PORTS
    stop_signal: SIGKILL
"""
EVERYWHERE = frozenset({"loopback", "own address", "other host"})
# What is published, as `ps` shows it, and where it answers.
FORMS: dict[str, tuple[str, frozenset[str]]] = {
    "8080:80": (r"0\.0\.0\.0:(8080)->80", EVERYWHERE),
    "192.0.2.1:8081:80": (r"192\.0\.2\.1:(8081)->80", EVERYWHERE - {"loopback"}),
    "127.0.0.1:8082:80": (r"127\.0\.0\.1:(8082)->80", frozenset({"loopback"})),
    "192.0.2.1::80": (r"192\.0\.2\.1:(?!8081)(\d+)->80", EVERYWHERE - {"loopback"}),
    "80": (r"0\.0\.0\.0:(?!8080|9100)(\d+)->80", EVERYWHERE),
    "80-82:80-82": (r"0\.0\.0\.0:(80)-82->80-82", EVERYWHERE),
    "127.0.0.1:9000-9002:80-82": (r"127\.0\.0\.1:(9000)-9002->80-82", frozenset({"loopback"})),
    "9100-9110:80": (r"0\.0\.0\.0:(9100)->80", EVERYWHERE),
}
PROTOCOLS = ("tcp", "udp")


def write(stage: Stage, ports: list[str]) -> None:
    (stage.folder / "server.py").write_text(SERVER)
    stage.write(SPEC.replace("PORTS", str(ports)))


@pytest.fixture(scope="module")
def published(long_stage: Stage) -> Stage:
    """One container with all forms of ports at a time, in both protocols."""
    write(long_stage, [f"{form}/{protocol}" for form in FORMS for protocol in PROTOCOLS])
    long_stage.apply()
    eventually(lambda: ask(long_stage.host, "127.0.0.1", 8080, "udp") != "refused")
    return long_stage


def ask(place: Namespace, address: str, port: int, protocol: str) -> str:
    """What a client at ``place`` is told, or how it is turned away."""
    if protocol == "tcp":
        return answer(place, address, port)
    with place.inside(), closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as own:
        own.settimeout(0.5)
        try:
            own.connect((address, port))
            own.send(b"?")
            return own.recv(2048).decode()
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silence"


def places(stage: Stage) -> dict[str, tuple[Namespace, str]]:
    """From where, and at which address, the host's ports are asked."""
    host = stage.host
    return {
        "loopback": (host, "127.0.0.1"),
        "own address": (host, host.address),
        "other host": (host.other, host.address),
    }


def shown(stage: Stage) -> str:
    return stage.trueup("ps", "--format", "{{.Ports}}").stdout


def host_port(stage: Stage, form: str, protocol: str) -> int:
    """The port on the host that `ps` shows for a form."""
    (found,) = re.findall(rf"\b{FORMS[form][0]}/{protocol}", shown(stage))
    return int(found)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("form", FORMS)
def test_where_a_form_answers(published: Stage, form: str, protocol: str) -> None:
    port = host_port(published, form, protocol)
    told = {
        name: ask(client, address, port, protocol)
        for name, (client, address) in places(published).items()
    }
    assert {name for name, page in told.items() if page.startswith("for ")} == FORMS[form][1], told
    if "other host" in FORMS[form][1]:
        assert told["other host"] == f"for {published.host.other.address}"


ASK = """
import socket
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.settimeout(2)
own.sendto(b"?", ("192.0.2.1", 8080))
print(own.recv(100).decode())
"""


def test_a_container_reaches_its_own_published_port_through_the_host(published: Stage) -> None:
    page = within(published.pid("web"), "busybox", "wget", "-qO-", "http://192.0.2.1:8080/")
    assert page.startswith("for ")
    assert within(published.pid("web"), "python3", "-c", ASK).startswith("for ")


def test_the_other_loopback_refuses_at_once(published: Stage) -> None:
    """`::1` cannot be translated; who tries it first goes on to 127.0.0.1."""
    with published.host.inside(), closing(socket.socket(socket.AF_INET6)) as own:
        own.settimeout(1)
        with pytest.raises(ConnectionRefusedError):
            own.connect(("::1", 8080))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_else_can_take_a_published_port(published: Stage, protocol: str) -> None:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    port = host_port(published, "80", protocol)
    with published.host.inside(), closing(socket.socket(socket.AF_INET, kind)) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="Address already in use"):
            _take(own, port)


def _take(own: socket.socket, port: int) -> None:
    """As a server does: Linux 6.1 refuses a TCP port only to who listens."""
    own.bind(("0.0.0.0", port))
    if own.type == socket.SOCK_STREAM:
        own.listen()


def test_a_chosen_port_stays_chosen(published: Stage) -> None:
    before = published.pid("web"), shown(published)
    published.edit('VERSION: "1"', 'VERSION: "2"')
    published.apply()
    assert published.pid("web") != before[0]
    assert shown(published) == before[1]
    published.apply()
    assert published.pending() == ""
    assert shown(published) == before[1]


def test_ten_thousand_ports_come_without_touching_the_process(stage: Stage) -> None:
    write(stage, ["9080:80"])
    stage.apply()
    pid, host = stage.pid("web"), stage.host
    assert ask(host, host.address, 15000, "udp") == "refused"
    stage.edit("['9080:80']", "['9080:80', '10000-20000:10000-20000/udp']")
    stage.apply()
    assert stage.pid("web") == pid
    assert "0.0.0.0:10000-20000->10000-20000/udp" in shown(stage)
    assert stage.pending() == ""
    for client, address in places(stage).values():
        assert ask(client, address, 15000, "udp").startswith("for ")
    assert ask(host.other, host.address, 15001, "udp") == "refused"
    rules = host.run("nft", "list", "ruleset").stdout
    assert len(re.findall(r"udp \. 10000-20000", rules)) == 1


# --- ports that others have -----------------------------------------------------------------------

STRANGER = """
import socket, sys, time
kind = socket.SOCK_STREAM if sys.argv[2] == "tcp" else socket.SOCK_DGRAM
own = socket.socket(socket.AF_INET, kind)
own.bind(("0.0.0.0", int(sys.argv[1])))
if sys.argv[2] == "tcp":
    own.listen()
time.sleep(100)
"""


@contextmanager
def stranger(stage: Stage, port: int, protocol: str) -> Iterator[str]:
    """A program of the host that has the port; its name and pid as in `python3[812]`."""
    with started(stage, sys.executable, "-c", STRANGER, str(port), protocol) as process:
        eventually(lambda: bound(process.pid, port, protocol))
        yield f"{Path(f'/proc/{process.pid}/comm').read_text().strip()}[{process.pid}]"


def bound(pid: int, port: int, protocol: str) -> bool:
    """Whether a socket of the process's network is bound to the port, proc_net_tcp(5)."""
    return f":{port:04X} " in Path(f"/proc/{pid}/net/{protocol}").read_text()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_port_that_a_stranger_has_is_refused_with_his_name(stage: Stage, protocol: str) -> None:
    write(stage, [f"9080:80/{protocol}"])
    with stranger(stage, 9080, protocol) as name:
        before = stage.inventory()
        cause = rf"port 9080/{protocol} of web \(.*:9\) is held by {re.escape(name)}"
        for command in ("plan", "apply"):
            refused = stage.trueup(command, stage.spec, code=1)
            assert re.search(cause, refused.stdout + refused.stderr), refused
        assert before.differences(stage.inventory()) == ""
    stage.apply()
    eventually(lambda: ask(stage.host, "127.0.0.1", 9080, protocol).startswith("for "))


def test_an_edit_to_a_taken_port_leaves_all_as_it_was(stage: Stage) -> None:
    write(stage, ["9080:80"])
    stage.apply()
    pid = stage.pid("web")
    stage.edit("9080:80", "9081:80")
    stage.edit('VERSION: "1"', 'VERSION: "2"')
    with stranger(stage, 9081, "tcp") as name:
        assert name in stage.apply(code=1).stderr
        eventually(lambda: stage.answer(9080).startswith("for "))
        assert stage.pid("web") == pid


def test_the_second_project_is_told_who_has_the_port(
    stage: Stage, trueup: Trueup, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(stage, ["9080:80"])
    stage.apply()
    second = Stage(trueup=trueup, images=stage.images, folder=tmp_path_factory.mktemp("second"))
    write(second, ["127.0.0.1:9080:80"])
    second.edit("project: shop", "project: second")
    for command in ("plan", "apply"):
        refused = second.trueup(command, second.spec, code=1)
        told = refused.stdout + refused.stderr
        assert re.search(r"port 127\.0\.0\.1:9080/tcp of web .* is held by shop/web", told)
    assert second.trueup("ps", "--format", "{{.Names}}").stdout == "shop/web\n"


def test_two_projects_share_a_port_on_two_addresses(
    stage: Stage, trueup: Trueup, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(stage, ["127.0.0.1:9080:80"])
    stage.apply()
    second = Stage(trueup=trueup, images=stage.images, folder=tmp_path_factory.mktemp("second"))
    write(second, [f"{stage.host.address}:9080:80"])
    second.edit("project: shop", "project: second")
    second.apply()
    for address in ("127.0.0.1", stage.host.address):
        eventually(partial(answers, stage, address))
    second.down()
    assert answers(stage, "127.0.0.1")
    assert answer(stage.host, stage.host.address, 9080) == "refused"


def answers(stage: Stage, address: str) -> bool:
    return answer(stage.host, address, 9080).startswith("for ")
