"""Proxies from the environment: who goes through them, and what they and others learn."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.faults import (
    ProxyUnusable,
    RegistryFailed,
    RegistryUnreachable,
)
from runtime.embedded.registry.proxies import proxy_for
from runtime.errors import Fault
from runtime.reference import Reference
from tests.images.registry import free_port
from tests.runtime.embedded.registry.authority import Authority
from tests.runtime.embedded.registry.hostile import Answer, Server, digest, publish, serving
from tests.runtime.embedded.registry.proxy import Proxy, proxying

NAME = "registry.test"  # which nobody but the proxy can resolve
PASSWORD = "Basic Y2k6c2VjcmV0"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Everything goes through it."""
    with proxying() as made:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{made.host}")
        monkeypatch.setenv("http_proxy", made.host)
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("proxies") / "ca").found()


@pytest.fixture
def secure(server: Server, proxy: Proxy, authority: Authority) -> Server:
    """The server as registry.test, over TLS."""
    server.use_tls(authority.signed(NAME))
    proxy.leads[f"{NAME}:443"] = server.port
    return server


def digest_of(name: str = NAME, **settings: Any) -> str:
    access = RegistryAccess(host=name, username="ci", password="secret", **settings)
    with closing(Client(access, tries=2, sleep=lambda _: None)) as client:
        return client.digest(Reference(host=name, repository="app", tag="latest"))


def asks(server: Server) -> None:
    """Serve ``app`` to who shows the password."""
    found = server.routes["/v2/app/manifests/latest"]
    header = {"WWW-Authenticate": 'Basic realm="x"'}
    assert isinstance(found, Answer)
    server.routes["/v2/app/manifests/latest"] = lambda asked: (
        found
        if asked.headers.get("Authorization") == PASSWORD
        else Answer(status=401, headers=header)
    )


# --- through it -----------------------------------------------------------------------------------


def test_tls_goes_through_a_tunnel_in_which_the_proxy_sees_nothing(
    secure: Server, proxy: Proxy, authority: Authority
) -> None:
    raw = publish(secure).manifest
    secure.routes["/v2/app/manifests/latest"] = Answer(
        headers={"Docker-Content-Digest": digest(raw)}, body=raw
    )
    asks(secure)
    assert digest_of(ca=str(authority.certificate)) == digest(raw)
    assert set(proxy.asked) == {("CONNECT", f"{NAME}:443")}
    assert secure.authorizations() == [PASSWORD]
    assert "Basic" not in proxy.told


def test_the_certificate_is_that_of_the_registry(secure: Server, authority: Authority) -> None:
    publish(secure)
    with pytest.raises(RegistryUnreachable, match="certificate"):
        digest_of()
    secure_elsewhere = RegistryAccess(host="other.test", ca=str(authority.certificate))
    with closing(Client(secure_elsewhere, tries=1)) as client, pytest.raises(Fault):
        client.digest(Reference(host="other.test", repository="app", tag="latest"))
    assert secure.asked == []


def test_plain_http_is_forwarded(server: Server, proxy: Proxy) -> None:
    raw = publish(server).manifest
    proxy.leads[NAME] = server.port
    assert digest_of(insecure=True) == digest(raw)
    assert proxy.asked[-1] == ("GET", NAME)
    assert {asked.headers["Host"] for asked in server.asked} == {NAME}


def test_who_we_are_to_the_proxy_is_told_to_it_alone(
    server: Server, secure: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = publish(server).manifest
    ours = "Basic bWU6aHVudGVyQDI="
    with proxying(customer=ours) as proxy:
        proxy.leads[f"{NAME}:443"] = server.port
        for name in ("HTTPS_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://me:hunter%402@{proxy.host}")
        assert digest_of(ca=str(authority.certificate)) == digest(raw)
        told = str([asked.headers for asked in server.asked])
        assert "bWU6" not in told
        assert "Proxy" not in told


def test_a_redirect_takes_the_way_of_its_own_host(server: Server, proxy: Proxy) -> None:
    """From what is direct to what is not, without the password."""
    with serving() as far:
        raw = publish(far).manifest
        path = "/v2/app/manifests/latest"
        proxy.leads["far.test"] = far.port
        server.routes[path] = Answer(status=302, headers={"Location": f"http://far.test{path}"})
        asks(server)
        assert digest_of(server.host) == digest(raw)
        assert {host for _, host in proxy.asked} == {"far.test"}
        assert set(server.authorizations()) == {PASSWORD}
        assert far.authorizations() == []
    assert "Basic" not in proxy.told


def test_a_private_address_that_the_user_has_named_is_reached(server: Server, proxy: Proxy) -> None:
    raw = publish(server).manifest
    proxy.leads["10.0.0.1"] = server.port
    assert digest_of("10.0.0.1", insecure=True) == digest(raw)


# --- refused --------------------------------------------------------------------------------------


def test_a_proxy_that_refuses_is_named_without_its_password(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@{proxy.host}")
    proxy.customer = "Basic somebody"
    with pytest.raises(RegistryUnreachable) as refused:
        digest_of()
    assert str(refused.value).startswith(
        f"the registry {NAME} cannot be reached: through the proxy {proxy.host}: Tunnel connection"
        " failed: 407"
    )
    assert "hunter2" not in str(refused.value)


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = f"127.0.0.9:{free_port()}"
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@{gone}")
    with pytest.raises(RegistryUnreachable) as refused:
        digest_of()
    assert refused.value.why == f"through the proxy {gone}: Connection refused"


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@proxy.test",
        "socks5://me:hunter2@proxy.test",
        "http://me:hunter2@",
        "http://me:hunter2@proxy.test:99999",
        "http://me:hun/ter2@proxy.test",
        "http://me:1/hunter2@proxy.test",
        "http://me:hunter2@proxy.test/path",
        "http://me:hunter2@evil.test\\.proxy.test",
        "http://me:hunter2@[proxy",
        "http://me:hunter2@pro xy.test",
    ],
)
def test_a_variable_that_names_no_proxy_is_told_of_and_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", url)
    with pytest.raises(ProxyUnusable) as refused:
        digest_of()
    assert str(refused.value) == (
        "the proxy that https_proxy names cannot be used: it is no"
        " http://[USER:PASSWORD@]HOST[:PORT]\n"
        "  correct https_proxy, or unset it; NO_PROXY says which hosts need none"
    )


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "169.254.169.254.",
     "[::ffff:169.254.169.254]", "10.0.0.1", "10.1", "[fd00::1]"],
)  # fmt: skip
def test_no_proxy_is_sent_to_an_address_that_we_may_not_be_led_to(
    host: str, secure: Server, proxy: Proxy, authority: Authority
) -> None:
    """Not in any of the forms in which a resolver takes one."""
    led = Answer(status=302, headers={"Location": f"http://{host}/latest/meta-data"})
    secure.routes["/v2/app/manifests/latest"] = led
    with pytest.raises(RegistryFailed, match="address"):
        digest_of(ca=str(authority.certificate))
    assert set(proxy.asked) == {("CONNECT", f"{NAME}:443")}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f000001"])
def test_this_machine_is_never_asked_of_a_proxy(host: str, server: Server, proxy: Proxy) -> None:
    raw = publish(server).manifest
    path = "/v2/app/manifests/latest"
    at = f"http://{host}:{server.port}"
    server.routes["/there"] = Answer(headers={"Docker-Content-Digest": digest(raw)})
    server.routes[path] = Answer(status=302, headers={"Location": f"{at}/there"})
    assert digest_of(server.host) == digest(raw)
    assert proxy.asked == []


# --- which ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "excepted", "direct"),
    [
        ("https://r.lab/v2/", "", False),
        ("https://r.lab/v2/", "*", True),
        ("https://r.lab/v2/", "x.lab, r.lab", True),
        ("https://r.lab/v2/", "lab", True),
        ("https://R.LAB/v2/", "LAB", True),
        ("https://r.lab/v2/", ".lab", True),
        ("https://r.lab/v2/", "*.lab", True),
        ("https://r.lab/v2/", ".r.lab", False),
        ("https://r.lab/v2/", "ab", False),
        ("https://r.lab/v2/", "r.lab:443", True),
        ("https://r.lab/v2/", "r.lab:5000", False),
        ("https://r.lab:5000/v2/", "r.lab:5000", True),
        ("https://r.lab:5000/v2/", "r.lab", True),
        ("https://10.1.2.3/v2/", "10.0.0.0/8", True),
        ("https://10.1.2.3/v2/", "10.1.2.3", True),
        ("https://10.1.2.3:5000/v2/", "10.1.2.3:5000", True),
        ("https://10.1.2.3/v2/", "11.0.0.0/8,3", False),
        ("https://[fd00::1]:5000/v2/", "fd00::/8", True),
        ("https://[fd00::1]:5000/v2/", "fd00::1", True),
        ("https://[fd00::1]:5000/v2/", "[fd00::1]:5000", True),
        ("https://[fd00::1]:5000/v2/", "[fd00::1]:443", False),
        ("https://r.lab/v2/", ",,nonsense/99,:,:1,[", False),
        ("https://localhost:5000/v2/", "", True),
        ("https://a.localhost/v2/", "", True),
        ("https://127.0.0.9/v2/", "", True),
        ("https://[::1]:5000/v2/", "", True),
    ],
)
def test_no_proxy_is_read_as_docker_reads_it(url: str, excepted: str, direct: bool) -> None:
    environ = {"HTTPS_PROXY": "http://proxy.test:3128", "no_proxy": excepted}
    assert (proxy_for(url, environ) is None) is direct


def test_each_scheme_has_its_variable() -> None:
    environ = {
        "HTTPS_PROXY": "http://a:1",
        "https_proxy": "b:1",
        "http_proxy": "c",
        "HTTP_PROXY": "",
    }
    secure, plain = (proxy_for(f"{scheme}://r.lab/", environ) for scheme in ("https", "http"))
    assert secure
    assert plain
    assert (secure.place, plain.place) == ("a:1", "c:80")
    assert proxy_for("http://r.lab/", {"HTTPS_PROXY": "a:1"}) is None
    hidden = proxy_for("https://r.lab/", {"HTTPS_PROXY": "http://me:hunter2@p.lab"})
    assert "hunter2" not in repr(hidden)
