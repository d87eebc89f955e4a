"""Where logins are kept, in the order in which they are looked for.

What somebody names outright (``REGISTRY_AUTH_FILE``) comes first, then Docker's file, to which
``login`` writes as everybody expects, then podman's files, of which the first is gone after a
reboot. So what was stored here last is what is found.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from runtime.credentials.files import LoginsFile


def files(environ: Mapping[str, str]) -> tuple[LoginsFile, ...]:
    """All files that may hold logins, there or not. New logins go to the first."""
    folder = home(environ)
    docker = Path(environ.get("DOCKER_CONFIG") or folder / ".docker") / "config.json"
    session = environ.get("XDG_RUNTIME_DIR")
    runtime = Path(session, "containers") if session else Path(f"/run/containers/{os.geteuid()}")
    settings = Path(environ.get("XDG_CONFIG_HOME") or folder / ".config")
    named = environ.get("REGISTRY_AUTH_FILE")
    return (
        *([LoginsFile(path=Path(named), podman=True)] if named else []),
        LoginsFile(path=docker),
        LoginsFile(path=runtime / "auth.json", podman=True),
        LoginsFile(path=settings / "containers" / "auth.json", podman=True),
    )


def home(environ: Mapping[str, str]) -> Path:
    """Of whoever we are: a service of systemd's has no HOME."""
    if home := environ.get("HOME"):
        return Path(home)
    import pwd

    return Path(pwd.getpwuid(os.geteuid()).pw_dir)
