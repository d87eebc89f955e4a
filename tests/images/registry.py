"""A real registry (Debian's docker-registry) on loopback, with storage of its own."""

import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.eventually import PATIENCE
from tests.images import oci

START_SECONDS = 10.0 * PATIENCE
# A registry ends with the run that started it, even when that is killed.
WITH_US = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Basic authentication, as `docker login` sends it."""

    username: str
    password: str


@dataclass(slots=True)
class Registry:
    """One store of images, served at 127.0.0.1:port by one process for each network namespace.
    ``tokens`` are its settings for a token server."""

    storage: Path
    port: int
    credentials: Credentials | None = None
    tokens: dict[str, str] | None = None
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """What stands before the first slash of a reference."""
        return f"127.0.0.1:{self.port}"

    def serve(self, *, within: Sequence[str] = ()) -> None:
        """Start a server and wait until it answers; ``within`` is a prefix such as nsenter."""
        log = (self.storage / "log").open("ab")
        with log:
            command = [*within, *WITH_US, "docker-registry", "serve", str(self._configuration())]
            server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.servers.append(server)
        self._await(server, within)

    def push(self, layout: Path, name: str, tag: str = "latest", *, kind: str = "oci") -> str:
        """Push an OCI layout; ``kind`` is skopeo's format: oci or v2s2. Returns the reference."""
        reference = f"{self.address}/{name}:{tag}"
        command = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"--format={kind}"]
        if self.credentials:
            command += ["--dest-creds", f"{self.credentials.username}:{self.credentials.password}"]
        command += [f"oci:{layout}:latest", f"docker://{reference}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"skopeo could not push {reference}: {done.stderr}")
        return reference

    def publish(
        self, image: oci.Image, name: str, tag: str = "latest", *, kind: str = "oci"
    ) -> str:
        """Push an image made on the spot; returns its reference."""
        with tempfile.TemporaryDirectory(prefix="trueup-image-") as place:
            oci.write(image, Path(place))
            return self.push(Path(place), name, tag, kind=kind)

    def digest(self, name: str, tag: str = "latest") -> str:
        """The digest under which the registry holds the tag now."""
        kinds = f"{oci.MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"
        url = f"http://{self.address}/v2/{name}/manifests/{tag}"
        request = urllib.request.Request(url, method="HEAD", headers={"Accept": kinds})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.headers["Docker-Content-Digest"])

    def close(self) -> None:
        """End the servers; the storage stays."""
        for server in self.servers:
            server.kill()
            server.wait()
        self.servers.clear()

    def _configuration(self) -> Path:
        settings: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.address, "secret": "none"},
        }
        if self.tokens:
            settings["auth"] = {"token": self.tokens}
        if self.credentials:
            settings["auth"] = {"htpasswd": {"realm": "test", "path": str(self._passwords())}}
        place = self.storage / "config.yml"
        place.write_text(yaml.safe_dump(settings))
        return place

    def _passwords(self) -> Path:
        """An htpasswd file; only bcrypt is read, which perl's crypt knows on Debian."""
        assert self.credentials
        program = 'print crypt($ARGV[0], q($2y$05$) . "a" x 22)'
        command = ["perl", "-e", program, self.credentials.password]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        place = self.storage / "htpasswd"
        place.write_text(f"{self.credentials.username}:{done.stdout}\n")
        return place

    def _await(self, server: subprocess.Popen[bytes], within: Sequence[str]) -> None:
        """Until the server's port accepts, as seen from where it stands."""
        probe = f"import socket; socket.create_connection(('127.0.0.1', {self.port}), 1)"
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and server.poll() is None:
            if not within:
                with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            elif not subprocess.run(
                [*within, "python3", "-ISc", probe], capture_output=True
            ).returncode:
                return
            time.sleep(0.02)
        log = (self.storage / "log").read_text(errors="replace")
        raise RuntimeError(f"docker-registry does not answer on {self.address}:\n{log}")


def free_port() -> int:
    """A TCP port that nobody listens on now, in the caller's network namespace."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
