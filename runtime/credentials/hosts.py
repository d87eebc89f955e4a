"""How files of logins name registries.

Docker's key is the host with its port, and for Docker Hub a URL of its first protocol; older files
have URLs for all. Podman's key may go on to a namespace or a repository: ``host/team``.
"""

from runtime.reference import DEFAULT_HOST

DOCKER_HUB = "https://index.docker.io/v1/"

_HUB_HOSTS = frozenset({DEFAULT_HOST, "index.docker.io", "registry-1.docker.io"})
_VERSIONS = frozenset({"", "v1", "v2"})


def registry(host: str) -> str:
    """One name for each registry, whichever of its hosts is given."""
    return DEFAULT_HOST if host.lower() in _HUB_HOSTS else host.lower()


def docker_key(host: str) -> str:
    """The key under which Docker keeps the login for a registry."""
    return DOCKER_HUB if registry(host) == DEFAULT_HOST else host


def podman_key(host: str) -> str:
    """The key under which podman keeps it."""
    return registry(host)


def namespace(key: str, host: str) -> str | None:
    """What ``key`` speaks of within the registry ``host``: "" is all of it; None: nothing.

    A key with a scheme is Docker's, and its path only ever was a version of the protocol.
    """
    scheme, separator, rest = key.rpartition("://")
    if separator and scheme not in ("http", "https"):
        return None
    named, _, path = rest.partition("/")
    if registry(named) != registry(host):
        return None
    path = path.strip("/")
    return "" if separator or path in _VERSIONS else path


def covers(namespace: str, repository: str) -> bool:
    """Whether a repository lies in a namespace, or is it."""
    return not namespace or f"{repository}/".startswith(f"{namespace}/")
