"""Image names as every backend reads them: ``nginx`` is docker.io/library/nginx:latest.

The grammar is that of the distribution project's reference package, with its limits; a name
that could be an image id (64 hex digits) is refused, so that the two never mix.
"""

import re

import msgspec

from runtime.errors import Fault

DEFAULT_HOST = "docker.io"
DEFAULT_TAG = "latest"
LONGEST_NAME = 255

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST_LABEL = 63  # RFC 1035: resolvers take no longer one
_LAST_PORT = 65535
_ID = re.compile(r"[0-9a-f]{64}")


class BadReference(Fault):
    """A text that names no image."""

    def __init__(self, text: str, why: str, hint: str = "") -> None:
        self.text = text
        example = "write it like nginx:1.27 or registry.example:5000/team/app@sha256:..."
        super().__init__(f"{text[:300]!r} is not an image reference", why=why, hint=hint or example)


class BadDigest(Fault):
    """A digest that is not ``sha256:`` and 64 hexadecimal digits in lower case."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"{text[:100]!r} is not a sha256 digest")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A complete image name: ``tag`` is "" only when ``digest`` (sha256:...) is given."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.host}/{self._rest(self.repository)}"

    @property
    def place(self) -> str:
        """Where every version of it is: host and repository."""
        return f"{self.host}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The short form that people write: no default host, no ``library/``."""
        if self.host != DEFAULT_HOST:
            return str(self)
        return self._rest(self.repository.removeprefix("library/"))

    @property
    def version(self) -> str:
        """What a registry is asked for: the digest, or else the tag."""
        return self.digest or self.tag

    def _rest(self, repository: str) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{repository}{tag}{digest}"


def parse(text: str) -> Reference:
    """Read a reference in any of its forms. Raises ``BadReference``."""
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise BadReference(text, "after @ a sha256 digest must stand (64 digits in lower case)")
    name, tag = _split_tag(name)
    if tag is not None and not _TAG.fullmatch(tag):
        raise BadReference(text, f"{tag!r} is not a tag (letters, digits, _ . -; at most 128)")
    host, repository = _split_host(name)
    _check_name(text, host, repository)
    tag = tag or ("" if digest else DEFAULT_TAG)
    return Reference(host=host, repository=repository, tag=tag, digest=digest)


def has_host(text: str) -> bool:
    """Whether a reference says itself in which registry the image is."""
    first, slash, _ = text.partition("/")
    return bool(slash) and _looks_like_host(first)


def check_digest(text: str) -> str:
    """Return the 64 hex digits of a digest, safe as a file name. Raises ``BadDigest``."""
    if not _DIGEST.fullmatch(text):
        raise BadDigest(text)
    return text[7:]


def _split_tag(name: str) -> tuple[str, str | None]:
    """A colon after the last slash starts a tag; before it, it belongs to a port."""
    colon = name.rfind(":")
    return (name[:colon], name[colon + 1 :]) if colon > name.rfind("/") else (name, None)


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not _looks_like_host(first):
        first, rest = DEFAULT_HOST, name
    if first in ("index.docker.io", DEFAULT_HOST):
        return DEFAULT_HOST, rest if "/" in rest else f"library/{rest}"
    return first, rest


def _looks_like_host(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost" or text.lower() != text


def _check_name(text: str, host: str, repository: str) -> None:
    if not _HOST.fullmatch(host):
        raise BadReference(text, f"{host!r} is not a host name")
    if why := _host_flaw(host):
        raise BadReference(text, f"{host[:100]!r} is not a host name: {why}")
    if _ID.fullmatch(text):
        raise BadReference(text, "64 hexadecimal digits are an image id")
    if not _REPOSITORY.fullmatch(repository):
        raise BadReference(text, *_repository_advice(repository))
    if len(host) + 1 + len(repository) > LONGEST_NAME:
        raise BadReference(text, f"the name is longer than {LONGEST_NAME} characters")


def _host_flaw(host: str) -> str:
    """What keeps a host with the right letters from being one; "" for nothing."""
    name, port = host, ""
    if ":" in host and not host.endswith("]"):
        name, _, port = host.rpartition(":")
    if port and not 0 < int(port) <= _LAST_PORT:
        return f"its port is not one of 1 to {_LAST_PORT}"
    if name.startswith("["):
        from ipaddress import IPv6Address

        try:
            IPv6Address(name[1:-1])
        except ValueError:
            return "it is no IPv6 address"
    elif max(map(len, name.split("."))) > _LONGEST_LABEL:
        return f"a part of it is longer than {_LONGEST_LABEL} letters"
    return ""


def _repository_advice(repository: str) -> tuple[str, str]:
    why = "repositories have lower case letters, digits and single . _ - between them"
    if repository.lower() != repository and _REPOSITORY.fullmatch(repository.lower()):
        return why, f"write {repository.lower()!r}"
    return why, ""
