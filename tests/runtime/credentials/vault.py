"""Programs that keep logins, made on the spot, and the folders of a user who has none yet."""

from pathlib import Path

import pytest

from runtime import programs

# What docker-credential-helpers' programs do, with a folder as vault; `env` is kept for a look.
SCRIPT = """\
#!/bin/sh
cd 'VAULT' || exit 9
env >env
read_server() { server=$(cat); file=$(printf %s "$server" | tr '/:' '__'); }
case "$1" in
get) read_server
  [ -f "$file" ] && exec cat "$file"
  echo "credentials not found in native keychain"; exit 1 ;;
store) words=$(cat)
  server=$(printf %s "$words" | sed 's/.*"ServerURL": *"\\([^"]*\\)".*/\\1/')
  printf %s "$words" >"$(printf %s "$server" | tr '/:' '__')" ;;
erase) read_server
  [ -f "$file" ] || { echo "credentials not found in native keychain"; exit 1; }
  rm "$file" ;;
esac
"""


def home(folder: Path) -> dict[str, str]:
    """An environment whose every place for logins lies below ``folder``."""
    return {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder / "run")}


class Helpers:
    """A folder of programs that is root's PATH while a test lasts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.vault = folder / "bin", folder / "vault"
        self.folder.mkdir()
        self.vault.mkdir()
        path = f"{self.folder}:{programs.ENVIRONMENT['PATH']}"
        monkeypatch.setattr(programs, "ENVIRONMENT", {**programs.ENVIRONMENT, "PATH": path})

    def install(self, name: str, script: str = SCRIPT) -> str:
        """Returns the name of the program as files of logins have it."""
        program = self.folder / f"docker-credential-{name}"
        program.write_text(script.replace("VAULT", str(self.vault)))
        program.chmod(0o755)
        return name
