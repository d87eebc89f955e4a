"""What can go wrong with kept logins, each with what to do about it."""

from runtime.errors import Fault


class LoginsDamaged(Fault):
    """A file of logins that cannot be read as one; it is never written over."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(
            f"the logins in {path} cannot be read",
            why=why,
            hint="correct the file, or move it away and log in again",
        )


class LoginsUnwritable(Fault):
    """The file of logins could not be changed; it is as it was."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(f"{path} cannot be written", why=why, hint="nothing of it was changed")


class HelperMissing(Fault):
    """The program that keeps a login is not installed."""

    def __init__(self, program: str, place: str) -> None:
        self.program, self.place = program, place
        super().__init__(
            f"{program} is not installed",
            why=f"{place} says that it keeps logins, and it is not in root's PATH",
            hint=f"install it in /usr/local/bin, or take it out of {place} and log in again",
        )


class HelperFailed(Fault):
    """The program that keeps logins did not do its work."""

    def __init__(self, program: str, why: str, place: str) -> None:
        self.program, self.place = program, place
        super().__init__(
            f"{program} did not do its work",
            why=why,
            hint=f"{place} names it; run it by hand to see what it lacks",
        )


class BadHelperName(Fault):
    """A name that could lead to any program at all."""

    def __init__(self, name: str, place: str) -> None:
        self.name, self.place = name, place
        super().__init__(
            f"{place} names no program that keeps logins",
            why=f"{name[:100]!r} has more than letters, digits and . _ -",
            hint="write the name alone: `pass` means docker-credential-pass",
        )
