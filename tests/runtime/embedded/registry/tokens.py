"""A token server as a real registry trusts it (distribution, token authentication): its tokens are
signed with a certificate that the registry knows."""

import base64
import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.runtime.embedded.registry.authority import openssl
from tests.runtime.embedded.registry.hostile import Answer, Asked, Server

_SERVICE, _ISSUER = "registry.test", "tokens.test"
_LEEWAY = 60  # seconds for which the registry takes what is over


@dataclass(slots=True)
class TokenServer:
    """``server`` sells tokens for ``seconds`` to those who show ``customer`` (any, where that is
    ""), for whatever they ask but what is ``forbidden``; ``scopes`` is what was asked for."""

    server: Server
    folder: Path
    customer: str = ""
    seconds: int = 300
    forbidden: tuple[str, ...] = ()
    scopes: list[list[str]] = field(default_factory=list)

    def open(self) -> dict[str, str]:
        """Serve; returns the settings of a registry that trusts it."""
        words = ["-newkey=rsa:2048", "-x509", "-nodes", "-days=2", "-subj=/CN=tokens"]
        openssl("req", *words, f"-keyout={self._key}", f"-out={self._certificate}")
        self.server.routes["/token"] = self._sell
        return {
            "realm": f"{self.server.url}/token",
            "service": _SERVICE,
            "issuer": _ISSUER,
            "rootcertbundle": str(self._certificate),
        }

    def _sell(self, asked: Asked) -> Answer:
        if self.customer and asked.headers.get("Authorization") != self.customer:
            return Answer(status=401)
        scopes = parse_qs(urlsplit(asked.path).query).get("scope", [])
        self.scopes.append(scopes)
        return Answer(body=json.dumps({"token": self._token(scopes)}).encode())

    def _token(self, scopes: list[str]) -> str:
        wanted = [scope.split(":") for scope in scopes if scope not in self.forbidden]
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in wanted
        ]
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "aud": _SERVICE,
            "sub": "ci",
            "nbf": now - 600,
            "iat": now - 600,
            "exp": now - _LEEWAY + self.seconds,
            "jti": str(now),
            "access": access,
        }
        lines = self._certificate.read_text().split("-----")[2].split()
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(lines)]}
        signed = f"{_coded(json.dumps(header).encode())}.{_coded(json.dumps(claims).encode())}"
        command = ["openssl", "dgst", "-sha256", "-sign", str(self._key)]
        done = subprocess.run(command, input=signed.encode(), check=True, capture_output=True)
        return f"{signed}.{_coded(done.stdout)}"

    @property
    def _key(self) -> Path:
        return self.folder / "tokens.key"

    @property
    def _certificate(self) -> Path:
        return self.folder / "tokens.crt"


def _coded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
