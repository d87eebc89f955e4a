"""The engine's files in /etc of a container."""

from runtime.embedded.bundle import files


def test_hosts() -> None:
    assert files.hosts("web", ["10.0.0.2"], [("10.0.0.9", "db")]) == (
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "10.0.0.2\tweb\n"
        "10.0.0.9\tdb\n"
    )


def test_resolv_conf() -> None:
    text = files.resolv_conf(["10.0.0.1"], ["shop", "lan"], ["ndots:0"])
    assert text == "nameserver 10.0.0.1\nsearch shop lan\noptions ndots:0\n"
    assert files.resolv_conf(["10.0.0.1"]) == "nameserver 10.0.0.1\n"


def test_hostname() -> None:
    assert files.hostname_file("web") == "web\n"
