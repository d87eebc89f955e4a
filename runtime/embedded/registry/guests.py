"""Registries to which ours has led us, as a host of one's own that redirects to ghcr.io does: asked
as anybody may ask them. No login goes there, and what they give us is shown to nobody else.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runtime.api import RegistryAccess
from runtime.embedded.registry import auth, tokens
from runtime.embedded.registry.transport import Pace, Transport, origin

if TYPE_CHECKING:
    from requests import Response

# The repository has another name there: it is that of the place we were led to.
_ASKED = re.compile(r"/v2/([a-z0-9][a-z0-9._/-]{0,254})/(?:manifests|blobs|tags)/[^/]+$")

_Origin = tuple[str, str, int]


class Guests:
    """``led_by`` is the registry that the user has named; several threads may use one."""

    def __init__(self, access: RegistryAccess, pace: Pace | None, led_by: Transport) -> None:
        self._access, self._pace, self._led_by = access, pace, led_by
        self._there: dict[_Origin, Transport] = {}
        self._tokens: dict[tuple[_Origin, str], str] = {}

    def close(self) -> None:
        for there in self._there.values():
            there.close()

    @contextmanager
    def open(
        self, method: str, url: str, headers: dict[str, str], said: str
    ) -> "Iterator[Response | None]":
        """The answer that ``url`` has for anybody, once it has ``said`` WWW-Authenticate; None
        when it sells no tokens to us. Raises what ``Transport.open`` raises."""
        scope, asked = _scope(url), auth.challenge(said)
        if not scope or asked.scheme != "bearer" or not auth.may_ask(asked.realm, url):
            yield None
            return
        there = self._there.setdefault(
            origin(url),
            Transport(url, self._access, pace=self._pace, led_by=self._led_by),
        )
        key = origin(url), scope
        if token := self._tokens.get(key):
            with there.open(method, url, headers, token) as response:
                if response.status_code != 401:
                    yield response
                    return
        token = tokens.buy(auth.token_url(asked, scope), self._access, self._pace, self._led_by)
        if not token:
            yield None
            return
        self._tokens[key] = token
        with there.open(method, url, headers, token) as response:
            yield response


def _scope(url: str) -> str:
    """What we want to do at ``url``, in the words of token servers; "" for what is no registry."""
    found = _ASKED.search(urlsplit(url).path)
    return f"repository:{found[1]}:pull" if found else ""
