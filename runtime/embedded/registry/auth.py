"""What a registry's 401 asks for, and to whom a password may go (distribution-spec, token auth)."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit

from runtime.embedded.registry.documents import BadDocument, read

_SCHEME = re.compile(r"(?:^|,)\s*(bearer|basic)(?:\s+|$)", re.IGNORECASE)
# From the beginning of a word only: else a word of 64 KB without a value takes minutes.
_PARAMETER = re.compile(r'(?<![a-zA-Z_])([a-zA-Z_]+)\s*=\s*(?:"([^"]*)"|([^",\s]+))')
_TOKEN = re.compile(r"[\x21-\x7e]+")
# A name or an address and nothing else: what ends a host for one library (a backslash) does not for
# another, and what we show to a terminal must be printable.
_PLAIN_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_SHARED_SECOND_LEVELS = frozenset(("ac", "co", "com", "edu", "gov", "net", "org"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """``scheme`` is "basic", "bearer" or "" for one that we do not know."""

    scheme: str
    realm: str = ""
    service: str = ""


def challenge(header: str) -> Challenge:
    """Read WWW-Authenticate (RFC 9110); of several challenges Bearer is taken first."""
    found = {match[1].lower(): match.end() for match in _SCHEME.finditer(header)}
    scheme = next((name for name in ("bearer", "basic") if name in found), "")
    if not scheme:
        return Challenge(scheme="")
    rest = header[found[scheme] :]
    other = _SCHEME.search(rest)
    rest = rest[: other.start()] if other else rest
    said = {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _PARAMETER.finditer(rest)}
    return Challenge(scheme=scheme, realm=said.get("realm", ""), service=said.get("service", ""))


def basic(username: str, password: str) -> str:
    """The Authorization header of a name and password, RFC 7617."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def bearer(answer: bytes) -> str:
    """The Authorization header from a token server's answer. Raises ``BadDocument``."""
    document = read(answer, "registry's token")
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise BadDocument("registry's token", "there is none in the answer")
    return f"Bearer {token}"


def token_url(asked: Challenge, scope: str) -> str:
    """Where to get a token. The scope is ours, never the registry's: it may not ask for more than
    we want to do. Several are told one by one; "" asks for none."""
    query = [("service", asked.service)] if asked.service else []
    query += [("scope", each) for each in scope.split()]
    joint = "&" if urlsplit(asked.realm).query else "?"
    return f"{asked.realm}{joint}{urlencode(query)}" if query else asked.realm


def refresh_form(asked: Challenge, scope: str, identity_token: str) -> bytes:
    """The form that buys a token with an identity token (OAuth 2, RFC 6749, section 6)."""
    form = {
        "grant_type": "refresh_token",
        "client_id": "trueup",
        "service": asked.service,
        "scope": scope,
        "refresh_token": identity_token,
    }
    return urlencode(form).encode()


def may_ask(realm: str, registry: str) -> bool:
    """Whether a token may be asked for at ``realm`` at all: https, or http for a registry that
    itself is spoken to in plain http; no user information."""
    try:
        parts, own = urlsplit(realm), urlsplit(registry)
        usable = bool(_PLAIN_HOST.fullmatch(parts.hostname or "")) and parts.port != 0
    except ValueError:  # half an IPv6 address, a port that is none
        return False
    schemes = ("https", "http") if own.scheme == "http" else ("https",)
    return usable and parts.scheme in schemes and "@" not in parts.netloc


def may_know_password(realm: str, registry: str, partners: Sequence[str] = ()) -> bool:
    """Whether ``realm`` may see the password for ``registry``: the same host, one of its
    ``partners``, or a host under the same domain, as auth.docker.io is for registry-1.docker.io."""
    theirs, ours = urlsplit(realm).hostname or "", urlsplit(registry).hostname or ""
    if theirs == ours or not partners_of(realm).isdisjoint(map(str.lower, partners)):
        return True
    domain = "" if _is_number(theirs) or _is_number(ours) else _domain(ours)
    return bool(domain) and (theirs == domain or theirs.endswith(f".{domain}"))


def server(realm: str) -> str:
    """HOST[:PORT] of a realm, the port where it names one."""
    return urlsplit(realm).netloc.lower()


def partners_of(realm: str) -> frozenset[str]:
    """As whom a partner may be written that ``realm`` belongs to: with its port, or for any."""
    parts = urlsplit(realm)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return frozenset((host, f"{host}:{port}"))


def _domain(host: str) -> str:
    """The domain above ``host`` that one owner has; "" when there is none for certain."""
    labels = host.split(".")[1:]
    if len(labels) < 2 or (len(labels) == 2 and labels[0] in _SHARED_SECOND_LEVELS):
        return ""
    return ".".join(labels)


def _is_number(host: str) -> bool:
    """Whether ``host`` is an address: those have no domain."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
