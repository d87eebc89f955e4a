"""HTTP to one registry: redirects by hand, nothing from the environment, bounded in time.

requests would read ~/.netrc, follow redirects with what the caller set, and undo content
codings of any depth; none of that happens here. Headers with a password or token go to the
registry's own origin only.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin, urlsplit

from runtime.api import RegistryAccess
from runtime.embedded.registry.addresses import Guard
from runtime.embedded.registry.faults import RegistryFailed, RegistryUnreachable
from runtime.embedded.registry.stop import Stop
from runtime.errors import Fault

if TYPE_CHECKING:
    from requests import Response, Session

_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PIECE, _LITTLE = 1 << 18, 1 << 16
_LONGEST_ERROR = 1 << 16


# What is sent, made anew for each sending: a redirect or a second try begins at its first byte.
Body = Callable[[], "bytes | Readable"]


class Readable(Protocol):
    """A file whose length is known before it is read."""

    def read(self, size: int = -1, /) -> bytes: ...
    def __len__(self) -> int: ...


class Interrupted(Exception):
    """A connection broke, or the server was too busy: worth another try after ``wait`` seconds
    (None: as long as the caller likes)."""

    def __init__(self, why: str, *, status: int = 0, wait: float | None = None) -> None:
        self.why, self.status, self.wait = why, status, wait
        super().__init__(why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patient we are: seconds to connect, between two pieces and until what was sent, whole or
    a piece of it, is stored, and the least number of bytes in every window of so many seconds. The
    long window is for lines that are too slow, the short one for registries that hold us up (a byte
    a second)."""

    connect: float = 10.0
    silence: float = 30.0
    storing: float = 300.0
    window: float = 60.0
    least: int = 8192 * 60
    trickle_window: float = 10.0
    trickle: int = 1024


BRIEF = Pace(connect=3.0, silence=5.0)  # for a question in passing


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of ``url``. Raises ``ValueError`` for a port that is none."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default


@dataclass(slots=True, kw_only=True)
class _Window:
    """Counts the bytes of ``seconds`` at a time, and says when they are fewer than ``least``."""

    seconds: float
    least: int
    since: float
    got: int = 0

    def add(self, size: int, now: float) -> str:
        """Why it is too slow; "" when it is not, or the window is not over."""
        self.got += size
        if (took := now - self.since) < self.seconds:
            return ""
        slow = f"it sent only {self.got:,} bytes in {took:.0f} s" if self.got < self.least else ""
        self.since, self.got = now, 0
        return slow


class Transport:
    """Requests to the registry at ``base``, trusted as ``access`` says; several threads may use
    one. ``led_by`` is the registry that led us here: a token server is not our own choice.
    ``stop`` ends what waits for it."""

    def __init__(
        self,
        base: str,
        access: RegistryAccess,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        led_by: "Transport | None" = None,
        stop: Stop | None = None,
    ) -> None:
        self.base, self.host = base, urlsplit(base).netloc
        self._origin, self._access = origin(base), access
        self._pace, self._clock = pace or Pace(), clock
        self._made: Session | None = None
        scheme, host, port = self._origin
        self.guard: Guard = (
            led_by.guard
            if led_by
            else Guard(own=host, scheme=scheme, port=port, partners=access.partners)
        )
        self.stop: Stop = led_by.stop if led_by else stop or Stop()

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: str = "",
        body: Body | None = None,
        *,
        secret: bool = False,
    ) -> "Iterator[Response]":
        """The answer to one request, its body unread. What is ``secret`` in a request's own body
        follows no redirect to another place. Raises ``Interrupted`` for what may pass,
        ``RegistryUnreachable`` for a certificate that cannot be trusted, ``RegistryFailed`` for a
        place that is none."""
        response = self._follow(method, url, headers, authorization, body, secret)
        try:
            yield response
            _finish(response)
        finally:
            response.close()

    def pieces(self, response: "Response") -> Iterator[bytes]:
        """The body as it comes over the wire, no coding undone. Raises ``Interrupted``, and
        ``RegistryUnreachable`` for a trickle: another try would be no faster."""
        from urllib3.exceptions import HTTPError

        windows = [
            _Window(seconds=seconds, least=least, since=self._clock())
            for seconds, least in (
                (self._pace.trickle_window, self._pace.trickle),
                (self._pace.window, self._pace.least),
            )
        ]
        try:
            while piece := response.raw.read1(_PIECE, decode_content=False):
                came = self._clock()
                yield piece
                now = self._clock()
                for window in windows:
                    window.since += now - came  # what we do with a piece takes our time
                    if slow := window.add(len(piece), now):
                        raise RegistryUnreachable(self.host, slow)
        except (HTTPError, OSError) as error:
            raise Interrupted(_cause(error)) from error
        self.stop.still()  # a body whose length was not told seems whole when it is shut

    def body(self, response: "Response", limit: int) -> bytes:
        """The whole body. Raises ``RegistryFailed`` when it has more than ``limit`` bytes."""
        parts, size = [], 0
        for piece in self.pieces(response):
            size += len(piece)
            if size > limit:
                raise RegistryFailed(self.host, f"an answer of more than {limit:,} bytes")
            parts.append(piece)
        said = response.headers.get("Content-Length", "")
        if said.isdigit() and int(said) != size and response.request.method != "HEAD":
            raise Interrupted(f"{size:,} of {int(said):,} bytes came")
        return b"".join(parts)

    def said(self, response: "Response") -> str:
        """The registry's own words of why not, printable and short; "" when it has none."""
        try:
            errors = json.loads(self.body(response, _LONGEST_ERROR))["errors"]
            text = str(errors[0].get("message") or errors[0]["code"])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return ""
        except (Interrupted, Fault):
            return ""
        return "".join(letter for letter in text if letter.isprintable())[:200]

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def is_own(self, url: str) -> bool:
        """Whether ``url`` is the registry itself and not where it has led us."""
        return origin(url) == self._origin

    def led_to(self, url: str, location: str) -> str:
        """Where the answer of ``url`` leads to. Raises ``RegistryFailed`` for what is no plain
        http or https URL."""
        try:
            place = urljoin(url, location)
            parts = urlsplit(place)
            if (
                parts.scheme in ("http", "https")
                and origin(place)[1]
                and "@" not in parts.netloc
                and location
            ):
                return place
        except ValueError:  # half an IPv6 address, a port that is none
            pass
        raise RegistryFailed(self.host, f"it leads to {location[:200]!r}")

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: str,
        body: Body | None,
        secret: bool,
    ) -> "Response":
        for _ in range(_MOST_REDIRECTS + 1):
            trusted = authorization and self.is_own(url)
            sent = {**headers, "Authorization": authorization} if trusted else headers
            response = self._send(method, url, sent, body)
            if response.status_code not in _REDIRECTS:
                return response
            location = response.headers.get("Location", "")
            _finish(response)
            if not self.is_own(url):
                authorization = ""
            url = self.led_to(url, location)
            if secret and not self.is_own(url):
                raise RegistryFailed(self.host, f"it leads to {location[:200]!r} with a secret")
        raise RegistryFailed(self.host, f"more than {_MOST_REDIRECTS} redirects")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None
    ) -> "Response":
        from requests import exceptions
        from urllib3.exceptions import LocationValueError

        self.stop.still()
        try:
            response = self._session().request(
                method,
                url,
                headers=dict(headers),
                stream=True,
                allow_redirects=False,
                data=body() if body else None,
                timeout=(self._pace.connect, self._pace.storing if body else self._pace.silence),
            )
        except exceptions.SSLError as error:
            raise self._untrusted(error) from error
        except (exceptions.InvalidURL, LocationValueError) as error:  # a label of 64 letters
            name = (urlsplit(url).hostname or "")[:100]
            raise RegistryFailed(self.host, f"{name!r} is no name of a host") from error
        except (exceptions.RequestException, OSError) as error:
            raise Interrupted(_cause(error)) from error
        if response.status_code in (408, 429, 500, 502, 503, 504):
            status, wait = response.status_code, _retry_after(response.headers.get("Retry-After"))
            why = f"HTTP status {status}"
            if status == 429:
                said = self.said(response)
                why = f"it gets too many requests, {why}{', ' if said else ''}{said}"
            _finish(response)
            raise Interrupted(why, status=status, wait=wait)
        return response

    def _untrusted(self, error: BaseException) -> Exception:
        """What an error of TLS means. Python raises one for a plain disconnect as well; to trust
        less helps only where it is the certificate, or where there is no TLS at all."""
        import ssl

        cause = _innermost(error)
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return Interrupted("it closed the connection")
        mistrust = isinstance(cause, ssl.SSLCertVerificationError)
        plain = isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER"
        hint = _CERTIFICATE_HINT if mistrust or plain else ""
        return RegistryUnreachable(self.host, _cause(error), hint)

    def _session(self) -> "Session":
        if self._made is None:
            from runtime.embedded.registry.connections import session

            self._made = session(self._access, self.guard, self._pace.storing, self.stop)
        return self._made


_CERTIFICATE_HINT = "mend the registry's certificate, or write 'insecure: true' for it"


def _finish(response: "Response") -> None:
    """Read what little is left, so that the connection can be used again."""
    from urllib3.exceptions import HTTPError

    said = response.headers.get("Content-Length", "")
    if said.isascii() and said.isdigit() and int(said[:9]) <= _LITTLE:
        with suppress(HTTPError, OSError):
            response.raw.read(_LITTLE, decode_content=False)
    response.close()


def _innermost(error: BaseException) -> BaseException:
    """Why a wrapped network error came about."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _cause(error: BaseException) -> str:
    """The innermost reason of a wrapped network error, in its own words."""
    error = _innermost(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)[:300] or type(error).__name__


def _retry_after(value: str | None) -> float | None:
    """Seconds that the server asks us to wait, RFC 9110; None when it does not say."""
    from email.utils import parsedate_to_datetime

    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:6])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):  # a zone, or a year, beyond all bounds
        return None
