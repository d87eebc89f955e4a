"""Images that are too old for us are called so, not hostile."""

import json
from contextlib import closing

import pytest

from runtime.api import RegistryAccess
from runtime.embedded.registry.client import Client
from runtime.embedded.registry.documents import BadDocument
from runtime.embedded.registry.faults import WrongContent
from runtime.reference import Reference
from tests.runtime.embedded.registry.hostile import OCI_MANIFEST, Answer, Server, digest

SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
PLAIN = "application/vnd.docker.distribution.manifest.v1+json"
PAYLOAD = json.dumps({"schemaVersion": 1, "name": "app", "fsLayers": []}).encode()
RAW = PAYLOAD[:-1] + b', "signatures": []}'


def ask(server: Server, kind: str, **version: str) -> None:
    """For a manifest whose digest is that of what was signed."""
    headers = {"Content-Type": kind, "Docker-Content-Digest": digest(PAYLOAD)}
    reference = Reference(host=server.host, repository="app", **version)
    server.routes[f"/v2/app/manifests/{reference.version}"] = Answer(headers=headers, body=RAW)
    with closing(Client(RegistryAccess(host=server.host))) as client:
        client.manifest(reference)


@pytest.mark.parametrize("kind", [SIGNED, PLAIN, f"{SIGNED.upper()}; charset=utf-8"])
@pytest.mark.parametrize("version", [{"tag": "latest"}, {"digest": digest(PAYLOAD)}])
def test_a_signed_manifest_is_refused_by_name(
    server: Server, kind: str, version: dict[str, str]
) -> None:
    with pytest.raises(BadDocument, match="schema 1, outdated since 2017") as refused:
        ask(server, kind, **version)
    assert "skopeo copy" in refused.value.hint


@pytest.mark.parametrize("kind", [OCI_MANIFEST, "application/json", ""])
def test_under_another_name_its_digest_is_wrong(server: Server, kind: str) -> None:
    with pytest.raises(WrongContent):
        ask(server, kind, tag="latest")
