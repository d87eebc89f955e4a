"""Which files of certificates are meant for a registry: the spec's, else those in Docker's layout
(HOST[:PORT]/*.crt are authorities, *.cert and *.key go together)."""

from collections.abc import Iterator
from pathlib import Path

from runtime.api import RegistryAccess
from runtime.embedded.registry.faults import CertificateUnusable

FOLDERS = ("/etc/trueup/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d")


def are_set(access: RegistryAccess) -> bool:
    """Whether somebody has set certificates for the registry, so that it speaks TLS."""
    return bool(access.ca or access.certificate or _folder(access.host))


def authorities(access: RegistryAccess) -> list[str]:
    if access.ca:
        return [access.ca]
    return [str(path) for folder in _folder(access.host) for path in sorted(folder.glob("*.crt"))]


def clients(access: RegistryAccess) -> Iterator[tuple[str, str]]:
    """Who we are: certificate and key. Raises ``CertificateUnusable``."""
    if access.certificate:
        yield access.certificate, access.key or access.certificate
        return
    for folder in _folder(access.host):
        for path in sorted(folder.glob("*.cert")):
            key = path.with_suffix(".key")
            if not key.exists():
                raise CertificateUnusable(str(path), f"its key {key.name} is not beside it")
            yield str(path), str(key)


def _folder(host: str) -> list[Path]:
    """The first folder that is there for this host."""
    return [place for place in (Path(folder, host) for folder in FOLDERS) if place.is_dir()][:1]
