"""``trueup login``: keep a name and password for a registry, once the registry takes them."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from reconciler.cli.access import registries, registry_host
from reconciler.cli.arguments import GlobalOptions, Parser, Usage
from reconciler.cli.console import opened
from runtime.api import RegistryAccess
from runtime.errors import Fault

if TYPE_CHECKING:
    from runtime.credentials.files import LoginsFile

_LONGEST_PASSWORD = 1 << 15  # bytes


class Options(GlobalOptions):
    host: str | None
    username: str | None
    password: str | None
    password_stdin: bool
    authfile: Path | None


def arguments(parser: Parser) -> None:
    from argparse import SUPPRESS

    add = parser.add_argument
    add("host", metavar="HOST", nargs="?", help="the registry (default: docker.io)")
    add("-u", "--username", metavar="NAME", help="who logs in (default: ask)")
    add("-p", "--password", nargs="?", const="", help=SUPPRESS)
    add("--password-stdin", action="store_true", help="read the password from stdin")
    add(
        "--authfile",
        type=Path,
        metavar="PATH",
        help="keep the login in this file of podman's format (default: $REGISTRY_AUTH_FILE, else "
        "Docker's config.json)",
    )


def run(options: Options) -> int:
    """Ask, let the registry check, and only then keep it; 1 when the registry refuses."""
    if options.password is not None:
        raise Usage(
            "-p would show the password to everybody who looks at the processes of this machine",
            "give it by --password-stdin, or leave it out to be asked for it",
        )
    host = registry_host(options.host)
    file = _file(options)
    if _is_known(options, host, file):
        sys.stdout.write("Login Succeeded\n")
        return 0
    username, password = _asked(options)
    _check(options, host, username, password)
    _keep(file, host, username, password)
    sys.stdout.write("Login Succeeded\n")
    return 0


def _file(options: Options) -> "LoginsFile":
    from runtime.credentials.files import LoginsFile
    from runtime.credentials.places import files

    if options.authfile is not None:
        return LoginsFile(path=options.authfile, podman=True)
    return files(os.environ)[0]


def _is_known(options: Options, host: str, file: "LoginsFile") -> bool:
    """Whether the login that is kept already still holds; only asked when nothing was given."""
    if options.username is not None or options.password_stdin:
        return False
    from runtime.credentials.lookup import login_in

    login = login_in(file, host, "", os.environ)
    if login is None or login.identity_token:
        return False
    sys.stdout.write(f"Authenticating with existing credentials... [Username: {login.username}]\n")
    try:
        _check(options, host, login.username, login.password)
    except Fault as fault:
        if not sys.stdin.isatty():
            raise
        sys.stderr.write(f"Login did not succeed, error: {fault}\n")
        return False
    return True


def _asked(options: Options) -> tuple[str, str]:
    """Name and password. Raises ``Usage`` when nobody is there to be asked."""
    if options.password_stdin:
        if not options.username:
            raise Usage("--password-stdin goes with --username", "add `-u NAME`")
        return _name(options.username), _from_stdin()
    if not sys.stdin.isatty():
        raise Usage("there is no terminal to ask for name and password", "use --password-stdin")
    from getpass import getpass

    try:
        username = _name(options.username or input("Username: ").strip())
        return username, _filled(getpass("Password: "))
    except EOFError as end:
        raise Usage("there was no answer", "nothing was changed") from end


def _name(text: str) -> str:
    if not text or ":" in text:
        why = "it has a colon, which ends a name on its way to the registry" if text else "none"
        raise Usage(f"this is no name to log in with: {why}", "give it by -u NAME")
    if not text.isprintable():  # nor are bytes that are not UTF-8
        raise Usage("this is no name to log in with: it is not text", "give it by -u NAME")
    return text


def _from_stdin() -> str:
    if sys.stdin.isatty():
        hint = "leave it out to be asked without echo"
        raise Usage("--password-stdin reads a pipe or a file, and this is a terminal", hint)
    try:
        text = sys.stdin.buffer.read(_LONGEST_PASSWORD + 1).decode()
    except UnicodeDecodeError as error:
        raise Usage("the password is not UTF-8", "nothing was changed") from error
    return _filled(text.removesuffix("\n").removesuffix("\r"))


def _filled(password: str) -> str:
    if not password:
        raise Usage("the password is empty", "nothing was changed")
    if len(password.encode()) > _LONGEST_PASSWORD:
        raise Usage(f"the password has more than {_LONGEST_PASSWORD:,} bytes", "nothing was kept")
    return password


def _check(options: Options, host: str, username: str, password: str) -> None:
    """Raises ``AccessDenied`` and whatever else keeps the registry from answering."""
    special = {each.host: each for each in registries()}
    access = special.get(host, RegistryAccess(host=host))
    asked = msgspec.structs.replace(access, username=username, password=password, missing="")
    with opened(options) as runtime:
        runtime.registries.check_login(asked)


def _keep(file: "LoginsFile", host: str, username: str, password: str) -> None:
    from runtime.credentials.files import Secret
    from runtime.credentials.keeping import keep

    if path := keep(file, host, Secret(username=username, password=password), os.environ):
        sys.stderr.write(
            f"warning: the password is kept unencrypted in {path}; a program named there under"
            " `credsStore` keeps it better\n"
        )
