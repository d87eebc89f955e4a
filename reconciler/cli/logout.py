"""``trueup logout``: forget the login for a registry."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.access import registry_host
from reconciler.cli.arguments import GlobalOptions, Parser
from reconciler.cli.console import NeedsRoot

if TYPE_CHECKING:
    from runtime.credentials.files import LoginsFile


class Options(GlobalOptions):
    host: str | None
    authfile: Path | None


def arguments(parser: Parser) -> None:
    parser.add_argument("host", metavar="HOST", nargs="?", help="the registry (default: docker.io)")
    parser.add_argument(
        "--authfile",
        type=Path,
        metavar="PATH",
        help="look in this file only (default: everywhere where `pull` looks)",
    )


def run(options: Options) -> int:
    """Take it out of every place; that there was none is no failure."""
    if os.geteuid() != 0:
        raise NeedsRoot  # these would be a user's logins, which no other command knows
    from runtime.credentials.keeping import forget

    host = registry_host(options.host)
    forgotten = forget(_files(options), host, os.environ)
    told = "Removing login credentials for" if forgotten else "Not logged in to"
    sys.stdout.write(f"{told} {host}\n")
    return 0


def _files(options: Options) -> "tuple[LoginsFile, ...]":
    from runtime.credentials.files import LoginsFile
    from runtime.credentials.places import files

    if options.authfile is not None:
        return (LoginsFile(path=options.authfile, podman=True),)
    return files(os.environ)
