"""Tokens, bought from the server that a registry names (distribution, token authentication)."""

from runtime.api import RegistryAccess
from runtime.embedded.registry import auth
from runtime.embedded.registry.faults import RegistryFailed
from runtime.embedded.registry.transport import Pace, Transport

_LONGEST = 1 << 20  # bytes of an answer
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def buy(
    url: str,
    access: RegistryAccess,
    pace: Pace | None,
    led_by: Transport,
    *,
    basic: str = "",
    form: bytes | None = None,
) -> str:
    """The Authorization header that ``url`` sells for a password (``basic``), for what stands in a
    form, or to anybody; "" when it refuses. Raises ``BadDocument``, ``RegistryFailed`` ..."""
    server = Transport(url, access, pace=pace, led_by=led_by)
    method, headers = ("POST", _FORM) if form else ("GET", {})
    body = (lambda: form) if form else None
    try:
        with server.open(method, url, headers, basic, body, secret=bool(form)) as got:
            if got.status_code in (400, 401, 403):
                return ""
            if got.status_code != 200:
                raise RegistryFailed(access.host, f"its token server: {got.status_code}")
            return auth.bearer(server.body(got, _LONGEST))
    finally:
        server.close()
