"""A throw-away authority that signs certificates, by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Authority:
    """``certificate`` is what those trust who trust it."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    def found(self) -> "Authority":
        self.folder.mkdir()
        words = ["-x509", "-nodes", "-days=2", "-subj=/CN=nobody", *_NEW]
        words += ["-addext=basicConstraints=critical,CA:TRUE", f"-keyout={self.folder / 'ca.key'}"]
        openssl("req", *words, f"-out={self.certificate}")
        return self

    def below(self, folder: Path, *, may_sign: bool = True) -> "Authority":
        """One that this one has signed; without ``may_sign`` it is none, and signs all the same."""
        made = Authority(folder)
        made.folder.mkdir()
        key, request, extensions = folder / "ca.key", folder / "request", folder / "extensions"
        extensions.write_text(f"basicConstraints=critical,CA:{str(may_sign).upper()}\n")
        openssl("req", "-nodes", "-subj=/CN=below", *_NEW, f"-keyout={key}", f"-out={request}")
        words = [f"-in={request}", f"-CA={self.certificate}", f"-CAkey={self.folder / 'ca.key'}"]
        words += [f"-extfile={extensions}", "-set_serial=3", f"-out={made.certificate}"]
        openssl("x509", "-req", "-days=2", *words)
        return made

    def signed(self, name: str, *, days: int = 1) -> Path:
        """A file with a certificate for ``name`` and its key; over already for less than 0 days.
        Beside it lie the two alone, as NAME.cert and NAME.key."""
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.cert"
        request, both = self.folder / "request", self.folder / f"{name}.{days}.pem"
        names = self.folder / "names"
        names.write_text(f"subjectAltName=DNS:{name}\n")
        openssl("req", "-nodes", f"-subj=/CN={name}", *_NEW, f"-keyout={key}", f"-out={request}")
        words = [f"-in={request}", f"-CA={self.certificate}", f"-CAkey={self.folder / 'ca.key'}"]
        words += [f"-days={days}", f"-extfile={names}", "-set_serial=2", f"-out={certificate}"]
        openssl("x509", "-req", *words)
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        return both


_NEW = ("-newkey=ec", "-pkeyopt=ec_paramgen_curve:prime256v1")


def openssl(command: str, *words: str) -> None:
    """``-name=value`` is told as two words."""
    split = [part for word in words for part in word.split("=", 1)]
    subprocess.run(["openssl", command, *split], check=True, capture_output=True)
