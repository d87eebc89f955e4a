"""Sessions of requests whose connections are checked: whom they reach, and whom they trust."""

import os
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from errno import EPIPE
from functools import partial
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from io import BufferedReader, RawIOBase
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import ProxyError
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, disable_warnings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import InsecureRequestWarning
from urllib3.util.ssl_ import create_urllib3_context

from runtime.api import RegistryAccess
from runtime.embedded.registry import certificates, proxies
from runtime.embedded.registry.addresses import Guard
from runtime.embedded.registry.faults import CertificateUnusable
from runtime.embedded.registry.stop import Stop

_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_OWN = "own:"  # no scheme of a URL
_LEAST, _TIMEOUTS = 1024, 2  # bytes that must come within so many timeouts of the socket


def session(access: RegistryAccess, guard: Guard, patience: float, stop: Stop) -> Session:
    """Without netrc, cookies or content codings, of the environment the proxies alone. Who we are
    by certificate is told to the registry's own host alone, not to its token server or stores
    elsewhere. ``patience`` is for each piece that is sent, in seconds; ``stop`` ends what waits for
    an answer. Raises ``CertificateUnusable``."""
    made = _Session(guard.own)
    made.trust_env = False
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    made.headers.update({"User-Agent": "trueup", "Accept-Encoding": "identity"})
    if access.insecure:  # the user has said so: urllib3 need not warn at each request
        disable_warnings(InsecureRequestWarning)
    adapter = partial(_Adapter, guard, patience, stop)
    made.mount("http://", adapter(None))
    made.mount("https://", adapter(trust(access)))
    if ours := _with_clients(access):
        made.mount(_OWN, adapter(ours))
    return made


def trust(access: RegistryAccess) -> ssl.SSLContext:
    """Whom the registry's certificate must be signed by: what the spec says, else what lies in
    Docker's layout. Authorities of one's own come beside the system's."""
    context = create_urllib3_context()
    # As Docker does it: Python is stricter with authorities from 3.13 on, and trusts one that
    # another has signed from 3.13 on only.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif os.path.exists(_SYSTEM_AUTHORITIES):
        context.load_verify_locations(_SYSTEM_AUTHORITIES)
    else:
        from certifi import where

        context.load_verify_locations(where())
    for path in certificates.authorities(access):
        _load(partial(context.load_verify_locations, path), path)
    return context


def _with_clients(access: RegistryAccess) -> ssl.SSLContext | None:
    """``trust`` with who we are to the registry; None when nobody has set that."""
    clients = list(certificates.clients(access))
    if not clients:
        return None
    context = trust(access)
    for certificate, key in clients:
        read = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations
        _load(partial(read, certificate), certificate)  # so that a failure now is the key's
        _load(partial(context.load_cert_chain, certificate, key, _no_password), key)
    return context


def _no_password() -> str:
    """OpenSSL would ask the terminal for that of an encrypted key."""
    return ""


def _load(load: Callable[[], None], path: str) -> None:
    try:
        load()
    except ssl.SSLError as error:
        why = error.reason.replace("_", " ").lower() if error.reason else "it is not a PEM file"
        raise CertificateUnusable(path, why) from error
    except OSError as error:
        raise CertificateUnusable(path, error.strerror or str(error)) from error


class _Session(Session):
    """``own`` is the registry's host, reached over connections of its own where some are made."""

    def __init__(self, own: str) -> None:
        super().__init__()
        self._own = own

    def get_adapter(self, url: str) -> BaseAdapter:
        parts = urlsplit(url)
        known = parts.scheme == "https" and parts.hostname == self._own and _OWN in self.adapters
        return super().get_adapter(_OWN if known else url)

    def get_redirect_target(self, resp: Response) -> None:
        """None: else requests would read and inflate a redirect's whole body, without bounds, also
        when it is told not to follow."""


class _Adapter(HTTPAdapter):
    """Pools of checked connections; ``context`` is for https."""

    def __init__(
        self, guard: Guard, patience: float, stop: Stop, context: ssl.SSLContext | None
    ) -> None:
        self._guard, self._context, self._patience, self._stop = guard, context, patience, stop
        super().__init__(pool_maxsize=8)

    def send(self, request: PreparedRequest, *words: Any, **settings: Any) -> Response:
        """Raises ``ProxyUnusable``, also ``RegistryFailed`` for an address that even a proxy shall
        not fetch from: where names lead to only the proxy knows."""
        proxy = proxies.proxy_for(request.url or "", os.environ)
        if proxy is None:
            return super().send(request, *words, **settings)
        parts = urlsplit(request.url or "")
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        if found := proxies.address(host):
            self._guard.check(host, str(found), scheme=parts.scheme, port=port)
        chosen = {"http": proxy.url, "https": proxy.url}
        try:
            return super().send(request, *words, **{**settings, "proxies": chosen})
        except ProxyError as error:
            why = _innermost(error)
        raise ProxyError(f"through the proxy {proxy.place}: {why}")

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        """Its connections lead to the proxy, whose address is the user's choice."""
        if self._context is not None:
            settings["ssl_context"] = self._context
        manager = super().proxy_manager_for(proxy, **settings)
        host = urlsplit(proxy).hostname or ""
        guard = Guard(own=host, partners=(host,))  # at whichever address its name has next
        manager.pool_classes_by_scheme = _pools(guard, self._patience, self._stop)
        return manager

    def init_poolmanager(self, *words: Any, **settings: Any) -> None:
        if self._context is not None:
            settings["ssl_context"] = self._context
        super().init_poolmanager(*words, **settings)
        self.poolmanager.pool_classes_by_scheme = _pools(self._guard, self._patience, self._stop)

    def cert_verify(self, conn: Any, *_: Any) -> None:
        """The context says whom to trust; requests' own bundle has no say."""
        if self._context is not None:
            insecure = self._context.verify_mode is ssl.CERT_NONE
            conn.cert_reqs = "CERT_NONE" if insecure else "CERT_REQUIRED"
            conn.assert_hostname = False if insecure else None


def _innermost(error: BaseException) -> str:
    """Why a proxy does not connect us, in words that do not hold its URL."""
    for key in ("args", "reason", "original_error"):
        inner = getattr(error, key, None)
        inner = inner[0] if isinstance(inner, tuple) and inner else inner
        error = inner if isinstance(inner, BaseException) else error
    error = error.__cause__ or error
    return (isinstance(error, OSError) and error.strerror) or str(error)[:200]


def _pools(guard: Guard, patience: float, stop: Stop) -> dict[str, type[HTTPConnectionPool]]:
    """Connection pools whose connections ask ``guard`` before a byte is sent, and which ``stop``
    ends. urllib3 would send with the patience for connecting: a registry may store what it has
    before it reads on."""

    class Plain(HTTPConnection):
        response_class = _Answer
        scheme = "http"
        wire: socket.socket | None = None  # sock, also once a last answer has taken it

        def _new_conn(self) -> socket.socket:
            stop.add(self)
            connected = super()._new_conn()
            self.wire = connected.dup()  # of its descriptor TLS makes another socket
            return _checked(guard, stop, self.scheme, self, connected)

        def connect(self) -> None:
            try:
                super().connect()
            finally:
                if self.wire is not None:
                    self.wire.close()
                self.wire = self.sock

        def request(self, *words: Any, **more: Any) -> None:
            if self.sock is None:
                self.connect()
            stop.still()  # a handshake may take long
            self.timeout = patience
            super().request(*words, **more)

        def end(self) -> None:
            _shut(self.wire)

    class Secure(Plain, HTTPSConnection):
        scheme = "https"

        def request(self, *words: Any, **more: Any) -> None:
            try:
                super().request(*words, **more)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
                # As plain http calls it: urllib3 then reads the answer that may have come first.
                raise BrokenPipeError(EPIPE, os.strerror(EPIPE)) from error

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _Answer(HTTPResponse):
    """An answer whose status, headers and chunks' sizes may not trickle either: a socket's own
    timeout begins anew with each byte."""

    def __init__(self, sock: socket.socket, *words: Any, **more: Any) -> None:
        super().__init__(sock, *words, **more)
        silence = sock.gettimeout()
        patience = None if silence is None else _TIMEOUTS * silence
        self.fp = BufferedReader(_Steady(self.fp.detach(), patience))


class _Steady(RawIOBase):
    """What comes over ``wire``. Raises ``TimeoutError`` when we have waited for fewer than so many
    bytes for more than ``patience`` seconds (None: any time)."""

    def __init__(self, wire: RawIOBase, patience: float | None) -> None:
        self._wire, self._patience = wire, patience
        self._waited, self._got = 0.0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        began = time.monotonic()
        size = self._wire.readinto(buffer)
        self._waited += time.monotonic() - began
        self._got += size or 0
        if self._got >= _LEAST:
            self._waited, self._got = 0.0, 0
        elif size and self._patience is not None and self._waited > self._patience:
            raise TimeoutError(f"only {self._got:,} bytes in {self._waited:.0f} s")
        return size

    def close(self) -> None:
        self._wire.close()
        super().close()


def _shut(connected: socket.socket | None) -> None:
    """End what another thread waits for there. As a plain socket: TLS would be taken off first,
    and what is just being sent would go in clear."""
    if connected is not None:
        with suppress(OSError):  # closed meanwhile
            socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _checked(
    guard: Guard, stop: Stop, scheme: str, called: HTTPConnection, connected: socket.socket
) -> socket.socket:
    also = partial(_addresses, called.host)
    try:
        address = connected.getpeername()[0]
        guard.check(called.host, address, scheme=scheme, port=called.port or 0, also=also)
        stop.still()  # it had nothing to shut while we connected
    except BaseException:
        connected.close()
        raise
    return connected


def _addresses(host: str) -> list[str]:
    """All that a name means now."""
    try:
        return [str(place[0]) for *_, place in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return []
