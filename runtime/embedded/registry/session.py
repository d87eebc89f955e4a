"""A registry and who we are to it: requests with authorization, patience, and page by page.

Anonymous first; on 401 the name and password, or a token bought with them, asked for anew when
it has run out. What a spec says of a registry goes before the logins that others have kept.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from runtime.api import RegistryAccess
from runtime.embedded.registry import auth, certificates, tokens
from runtime.embedded.registry.documents import LARGEST, read
from runtime.embedded.registry.faults import (
    AccessDenied,
    NotInRegistry,
    PasswordMissing,
    PasswordWithheld,
    RegistryFailed,
    RegistryUnreachable,
    TooManyRequests,
)
from runtime.embedded.registry.guests import Guests
from runtime.embedded.registry.stop import Stop
from runtime.embedded.registry.transport import Body, Interrupted, Pace, Transport, origin
from runtime.reference import DEFAULT_HOST, Reference

if TYPE_CHECKING:
    from requests import Response

    from runtime.credentials.lookup import Login

Result = TypeVar("Result")

TRIES = 5  # without progress between them
PULL, PUSH = "pull", "pull,push"  # what tokens are asked for
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 30.0
_MOST_LISTED, _MOST_PAGES = 100_000, 1000
_PAGE = 1000
_NEXT = re.compile(r'<([^<>]{1,2000})>\s*;\s*rel="?next"?')


class Session:
    """One registry, spoken to by several threads; ``actions`` is what tokens shall allow,
    ``base`` its URL where that does not follow from its name. Its own ``stop`` ends all that is
    asked; the one that is given does so, too."""

    def __init__(
        self,
        access: RegistryAccess,
        *,
        actions: str = PULL,
        base: str = "",
        tries: int = TRIES,
        pace: Pace | None = None,
        sleep: Callable[[float], None] | None = None,
        stop: Stop | None = None,
    ) -> None:
        self.stop = Stop(stop)
        self._access, self._tries, self._pace = access, tries, pace
        self._sleep = sleep or self.stop.sleep
        self._actions = actions
        self._authorizations: dict[str, str] = {}
        self._kept: tuple[Login | None] | None = None
        self._withheld_from = ""
        self._transport = self._to(base) if base else self._connect()
        self._guests = Guests(access, pace, self._transport)

    @property
    def host(self) -> str:
        return self._access.host

    def led_to(self, response: "Response") -> str:
        """Where the answer says to send to. Raises ``RegistryFailed`` for what is no place, and for
        plain http where the registry itself speaks TLS."""
        location = response.headers.get("Location", "")
        if not location:
            raise RegistryFailed(self.host, "it does not say where to send to")
        place = self._transport.led_to(response.url, location)
        if place.startswith("http:") and self._transport.base.startswith("https:"):
            raise RegistryFailed(self.host, f"it wants plain http for an image: {place[:200]!r}")
        return place

    def close(self) -> None:
        self._guests.close()
        self._transport.close()

    def pieces(self, response: "Response") -> Iterator[bytes]:
        return self._transport.pieces(response)

    def body(self, response: "Response", limit: int) -> bytes:
        return self._transport.body(response, limit)

    @contextmanager
    def ask(
        self,
        method: str,
        reference: Reference,
        path: str,
        headers: dict[str, str],
        *,
        accept: Sequence[int] = (200,),
        body: Body | None = None,
        also: str = "",
    ) -> "Iterator[Response]":
        """The answer to one request about the reference's repository, authorized if need be.

        ``path`` is relative to the repository, or a whole URL that the registry gave; ``body`` is
        made for each sending; ``also`` is a further repository that we want to read. Raises the
        registry's faults for a status that is not in ``accept``, and ``Interrupted``.
        """
        scope = _scope(reference.repository, self._actions, also)
        whole = path.startswith(("http:", "https:"))
        above = f"{self._transport.base}/v2/{reference.repository}".rstrip("/")
        url = path if whole else f"{above}/{path}"
        for first in (True, False):
            authorization = self._authorizations.get(scope, "")
            with self._transport.open(method, url, headers, authorization, body) as response:
                own = self._transport.is_own(response.url)
                if response.status_code == 401 and first and own:
                    said = response.headers.get("WWW-Authenticate", "")
                    self._authorize(said, reference.repository, scope)
                    continue
                if response.status_code == 401 and not own and self._actions == PULL:
                    with self._as_guest(method, headers, response) as led:
                        yield self._accepted(led, reference, accept)
                    return
                yield self._accepted(response, reference, accept)
                return

    @contextmanager
    def _as_guest(
        self, method: str, headers: dict[str, str], refused: "Response"
    ) -> "Iterator[Response]":
        """The answer for anybody where we were led to, ``refused`` again if there is none."""
        said = refused.headers.get("WWW-Authenticate", "")
        with self._guests.open(method, refused.url, headers, said) as led:
            yield refused if led is None else led

    def _accepted(
        self, response: "Response", reference: Reference, accept: Sequence[int]
    ) -> "Response":
        if response.status_code not in accept:
            raise self._refusal(response, reference)
        return response

    def get(self, url: str, limit: int) -> bytes:
        """The body of one anonymous request."""

        def ask() -> bytes:
            with self._transport.open("GET", url, {}) as response:
                self._expect(response)
                return self.body(response, limit)

        return self.patiently(ask)

    def patiently(self, ask: Callable[[], Result]) -> Result:
        """Ask again while it breaks off, a few times. Raises the registry's faults."""
        tries = 0
        while True:
            try:
                return ask()
            except Interrupted as broken:
                tries += 1
                self.wait(broken, tries)

    def wait(self, broken: Interrupted, tries: int) -> None:
        """Before another try: twice as long each time, with chance, or as the server says."""
        self.stop.still()
        if tries >= self._tries:
            if broken.status == 429:
                known = bool(self._access.username or (self._kept and self._kept[0]))
                raise TooManyRequests(self.host, broken.why, anonymous=not known) from broken
            if broken.status:
                raise RegistryFailed(self.host, broken.why, status=broken.status) from broken
            raise RegistryUnreachable(self.host, broken.why) from broken
        wait = _FIRST_WAIT * 2 ** (tries - 1) * random.uniform(0.5, 1.5)
        self._sleep(min(_LONGEST_WAIT, wait if broken.wait is None else broken.wait))

    def listed(
        self, reference: Reference, path: str, key: str, known: re.Pattern[str]
    ) -> list[str]:
        """The texts under ``key`` of every page of a list, those that ``known`` takes; further
        pages only from the registry itself, or from where it leads us for them."""
        found: dict[str, None] = {}
        page = f"{path}?n={_PAGE}"
        for _ in range(_MOST_PAGES):
            names, page = self.patiently(partial(self._page, reference, page, key))
            before = len(found)
            found |= dict.fromkeys(name for name in names if known.fullmatch(name))
            if len(found) > _MOST_LISTED:
                raise RegistryFailed(self.host, f"it lists more than {_MOST_LISTED:,} names")
            if not page:
                return list(found)
            if len(found) == before:
                raise RegistryFailed(self.host, "a page of its list has nothing new")
        raise RegistryFailed(self.host, f"its list has more than {_MOST_PAGES:,} pages")

    def check_login(self) -> None:
        """Raises ``AccessDenied`` when the registry does not take the username and password. One
        that asks for nothing takes any."""
        self.patiently(self._check_login)

    def _check_login(self) -> None:
        url = f"{self._transport.base}/v2/"
        with self._transport.open("GET", url, {}) as response:
            said = response.headers.get("WWW-Authenticate", "")
            if response.status_code != 401:
                self._expect(response)
                return
        asked, base = auth.challenge(said), self._transport.base
        bearer = asked.scheme == "bearer" and auth.may_ask(asked.realm, base)
        if bearer and not self._may_know_password(asked.realm):
            # It would be asked without the password, and may sell a token to anybody.
            raise PasswordWithheld(self.host, auth.server(asked.realm))
        self._authorize(said, "", "")
        with self._transport.open("GET", url, {}, self._authorizations.get("", "")) as response:
            if response.status_code in (401, 403):
                raise AccessDenied(self.host, "", with_password=True)
            self._expect(response)

    def _expect(self, response: "Response") -> None:
        if response.status_code != 200:
            status = response.status_code
            raise RegistryFailed(self.host, f"HTTP status {status}", status=status)

    def _page(self, reference: Reference, path: str, key: str) -> tuple[list[str], str]:
        """A page's names, and where the next one is."""
        with self.ask("GET", reference, path, {}) as response:
            document = read(self.body(response, LARGEST), f"registry's list of {key}")
            names, link = document.get(key) or [], response.headers.get("Link", "")
            further = _NEXT.search(link)
            after = self._transport.led_to(response.url, further[1]) if further else ""
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RegistryFailed(self.host, f"its list of {key} is not one of texts")
        if not after or self._transport.is_own(after):
            return names, after
        if self._transport.is_own(response.url) or origin(after) != origin(response.url):
            raise RegistryFailed(self.host, f"its list of {key} goes on at {after[:200]!r}")
        # A guest is who has been led there: the registry itself leads us to this page, too.
        return names, f"{path.partition('?')[0]}?{urlsplit(after).query}"

    def _connect(self) -> Transport:
        """Plain http on loopback, unless something is set for it; else https. An insecure
        registry's certificate is not checked, and where it has none http will do."""
        host = "registry-1.docker.io" if self.host == DEFAULT_HOST else self.host
        known = self._access.insecure or certificates.are_set(self._access)
        if _is_loopback(host) and not known:
            return self._to(f"http://{host}")
        secure = self._to(f"https://{host}")
        if not self._access.insecure:
            return secure
        try:
            with secure.open("GET", f"{secure.base}/v2/", {}):
                return secure
        except (Interrupted, RegistryUnreachable) as broken:
            if isinstance(broken, Interrupted) and broken.status:
                return secure  # busy, but it has answered
            secure.close()
            return self._to(f"http://{host}")

    def _to(self, base: str) -> Transport:
        return Transport(base, self._access, pace=self._pace, stop=self.stop)

    def _refusal(self, response: "Response", reference: Reference) -> Exception:
        status = response.status_code
        if status == 401 and not self._transport.is_own(response.url):
            there = urlsplit(response.url).netloc
            return AccessDenied(self.host, reference.repository, with_password=False, there=there)
        if status in (401, 403):
            known = self._has_login(reference.repository)
            if known and self._withheld_from:
                return PasswordWithheld(self.host, self._withheld_from)
            pushing = self._actions != PULL
            if status == 401 and self.host == DEFAULT_HOST and not (known or pushing):
                # Docker Hub gives tokens for what does not exist, then refuses them; a name
                # that is looked for in several registries goes on to the next.
                return NotInRegistry(str(reference), hidden=True)
            return AccessDenied(
                self.host, reference.repository, with_password=known, pushing=pushing
            )
        if status == 404:
            return NotInRegistry(str(reference))
        said = self._transport.said(response)
        why = f"HTTP status {status}, {said}" if said else f"HTTP status {status}"
        return RegistryFailed(self.host, why, status=status)

    def _authorize(self, header: str, repository: str, scope: str) -> None:
        """Prepare what the registry's challenge asks for."""
        asked = auth.challenge(header)
        if asked.scheme == "bearer":
            self._authorizations[scope] = self._token(asked, repository, scope)
        elif asked.scheme == "basic" and (basic := self._basic(repository)):
            self._authorizations[scope] = basic

    def _login(self, repository: str) -> "Login | None":
        """What Docker's or podman's files keep for this registry, looked up once."""
        if self._kept is None:
            from runtime.credentials.lookup import login_for

            self._kept = (login_for(self.host, repository),)
        return self._kept[0]

    def _has_login(self, repository: str) -> bool:
        return bool(self._access.username or self._login(repository))

    def _may_know_password(self, realm: str) -> bool:
        return auth.may_know_password(realm, self._transport.base, self._access.partners)

    def _basic(self, repository: str) -> str:
        """The header with name and password; "" when nobody has any. Raises ``PasswordMissing``."""
        access = self._access
        if access.missing:
            raise PasswordMissing(self.host, access.missing)
        if access.username:
            return auth.basic(access.username, access.password)
        login = self._login(repository)
        if login is None or login.identity_token:
            return ""
        return auth.basic(login.username, login.password)

    def _token(self, asked: auth.Challenge, repository: str, scope: str) -> str:
        """Get a token, with the password only from a server that may know it."""
        if not auth.may_ask(asked.realm, self._transport.base):
            raise RegistryFailed(self.host, f"it wants a token from {asked.realm[:200]!r}")
        trusted = self._may_know_password(asked.realm)
        self._withheld_from = "" if trusted else auth.server(asked.realm)
        login = None if self._access.username or not trusted else self._login(repository)
        basic, form = "", None
        if login is not None and login.identity_token:
            form = auth.refresh_form(asked, scope, login.identity_token)
        elif trusted:
            basic = self._basic(repository)
        url = asked.realm if form else auth.token_url(asked, scope)
        token = tokens.buy(url, self._access, self._pace, self._transport, basic=basic, form=form)
        if token:
            return token
        if not trusted and self._has_login(repository):
            raise PasswordWithheld(self.host, self._withheld_from)
        raise AccessDenied(self.host, repository, with_password=bool(basic or form))


def _scope(repository: str, actions: str, also: str) -> str:
    """What a token shall be good for (distribution, token scope documentation)."""
    if not repository:
        return "registry:catalog:*"
    own = f"repository:{repository}:{actions}"
    return f"{own} repository:{also}:pull" if also else own


def _is_loopback(host: str) -> bool:
    """Whether ``host`` (with or without a port) is this machine by number or by name."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"
