"""Which login is kept for a registry."""

import os
from collections.abc import Mapping

import msgspec

from runtime.credentials.files import LoginsFile, Secret
from runtime.credentials.places import files
from runtime.credentials.programs import Helper


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A kept login. ``identity_token`` is an OAuth 2 refresh token, there instead of a password;
    ``place`` says in words where it was found."""

    username: str
    password: str
    identity_token: str = ""
    place: str = ""

    def __repr__(self) -> str:
        return f"Login(username={self.username!r}, place={self.place!r})"


def login_for(
    host: str, repository: str = "", environ: Mapping[str, str] = os.environ
) -> Login | None:
    """The login for a repository of a registry, or for all of it; None: there is none.

    Raises ``LoginsDamaged``, ``HelperMissing``, ``HelperFailed``, ``BadHelperName``.
    """
    found = (login_in(file, host, repository, environ) for file in files(environ))
    return next((login for login in found if login is not None), None)


def login_in(
    file: LoginsFile, host: str, repository: str, environ: Mapping[str, str]
) -> Login | None:
    """The same, of one file: what its program keeps, else what stands in it."""
    logins = file.read()
    if kept := logins.helper(host):
        helper = Helper(*kept, str(file.path), environ)
        if secret := helper.get():
            return _login(secret, f"{helper.program}, which {file.path} names")
    found = logins.secret(host, repository)
    return _login(found, str(file.path)) if found else None


def _login(secret: Secret, place: str) -> Login:
    return Login(
        username=secret.username,
        password=secret.password,
        identity_token=secret.identity_token,
        place=place,
    )
