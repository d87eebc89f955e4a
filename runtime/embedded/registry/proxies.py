"""Which proxy a request goes through: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, read as Go's programs
(docker, podman) read them. What a proxy's URL says of who we are is shown to the proxy alone.
"""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from runtime.embedded.registry.faults import ProxyUnusable

_PLAIN_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_SHOWN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")  # no backslash, at which some libraries end a host
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """``url`` may hold a password; ``place`` is HOST:PORT, to be shown."""

    url: str = field(repr=False)
    place: str


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for ``url``; None: it is reached directly, as this machine itself always is. Raises
    ``ProxyUnusable``."""
    parts = urlsplit(url)
    name = f"{parts.scheme}_proxy"
    found = next((each for each in (name.upper(), name) if environ.get(each)), "")
    host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS[parts.scheme]
    if not found or _is_machine(host):
        return None
    excepted = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_covers(each.strip().lower(), host, port) for each in excepted.split(",")):
        return None
    return _read(found, environ[found])


def address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that ``host`` is, in any form in which resolvers take one (0x7f.1); None: it is
    a name."""
    try:
        return ip_address(host.strip("[]").rstrip("."))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):
        return None


def _is_machine(host: str) -> bool:
    found = address(host)
    return found.is_loopback if found else host == "localhost" or host.endswith(".localhost")


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY speaks of the host: ``*``, an address or network, or a domain,
    which holds for what is under it (``.lab``: for that alone), each but the first two with a port
    if it holds for that one only."""
    if entry == "*":
        return True
    number = address(host)
    if "/" in entry:
        try:
            return number is not None and number in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, only = entry.rpartition(":")
    if colon and only.isdigit() and (name.endswith("]") or ":" not in name):
        if int(only) != port:
            return False
        entry = name
    if number is not None:
        return address(entry) == number if entry else False
    domain = entry.removeprefix("*").removeprefix(".")
    return bool(domain) and (host.endswith(f".{domain}") or host == entry)


def _read(name: str, text: str) -> Proxy:
    url = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS["http"]
    except ValueError:  # half an IPv6 address, a port that is none
        raise ProxyUnusable(name) from None
    plain = _PLAIN_HOST.fullmatch(host) and parts.path in ("", "/") and not parts.query
    if parts.scheme != "http" or not plain or parts.fragment or not _SHOWN.fullmatch(parts.netloc):
        raise ProxyUnusable(name)
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Proxy(url=f"http://{parts.netloc}", place=place)
