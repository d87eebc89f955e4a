"""Keep a login, or forget it: in a file, or with the program that the file names."""

from collections.abc import Mapping, Sequence

from runtime.credentials.files import LoginsFile, Secret
from runtime.credentials.programs import Helper


def keep(file: LoginsFile, host: str, secret: Secret, environ: Mapping[str, str]) -> str:
    """Let this be the login for all of a registry. Returns the path of the file that now holds
    the password for everybody to read who may read the file, "" when a program keeps it.

    Raises ``LoginsDamaged``, ``LoginsUnwritable``, ``DiskFull`` and the faults of ``Helper``.
    """
    kept = file.read().helper(host)
    if kept:
        Helper(*kept, str(file.path), environ).store(secret)
        if file.podman:
            return ""
    # Docker enters the registry all the same, so that one sees where one is logged in.
    file.change(lambda logins: logins.enter(file.key(host), host, None if kept else secret))
    return "" if kept else str(file.path)


def forget(files: Sequence[LoginsFile], host: str, environ: Mapping[str, str]) -> bool:
    """Take every login for all of a registry away; whether there was one. Raises as ``keep``."""
    forgotten = [_forget(file, host, environ) for file in files]
    return any(forgotten)


def _forget(file: LoginsFile, host: str, environ: Mapping[str, str]) -> bool:
    logins, erased = file.read(), False
    if kept := logins.helper(host):
        helper = Helper(*kept, str(file.path), environ)
        if helper.get() is not None:
            helper.erase()
            erased = True
    if not logins.names(host):
        return erased
    file.change(lambda logins: logins.strike(host))
    return True
