"""The one family of errors that the product raises on purpose.

A ``Fault`` says what is wrong, why, and what to do about it; the command line prints it in
that order and leaves with ``exit_code``. Anything else that escapes is a defect of ours.
"""


class Fault(Exception):
    """Something that a user can understand and act on.

    ``what`` names the object and what failed, ``why`` the cause, ``hint`` the next step.
    Subclasses take facts as fields and word the three themselves, one class per meaning.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        self.what, self.why, self.hint = what, why, hint
        super().__init__(what, why, hint)

    @property
    def brief(self) -> str:
        """What and why, in a line."""
        return f"{self.what}: {self.why}" if self.why else self.what

    def __str__(self) -> str:
        return f"{self.brief}\n  {self.hint}" if self.hint else self.brief


class Stopped(Exception):
    """What was being done was left off, since it is not wanted any more: no failure, and no
    ``Fault``. What has come of it so far may be gone on with."""


class Absent(Fault):
    """What was named is not where it was looked for."""


class NoVariant(Fault):
    """An image is there, but not for the platform that was asked for."""


class ProgramMissing(Fault):
    """A program that the engine needs is not installed."""

    def __init__(self, program: str, package: str | None = None) -> None:
        self.program, self.package = program, package
        super().__init__(
            f"{program} is not installed",
            why="it was not found in PATH",
            hint=f"apt-get install {package or program}",
        )


class ProgramFailed(Fault):
    """A program ended with an error or did not end in time."""

    def __init__(self, line: str, *, status: int | None, stderr: str) -> None:
        self.line, self.status, self.stderr = line, status, stderr
        ended = "did not end in time" if status is None else f"ended with status {status}"
        super().__init__(f"`{line}` {ended}", why=stderr.strip() or "it gave no reason", hint="")


class DiskFull(Fault):
    """No space, or no inodes, where the engine keeps its state."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"no space left on the device that holds {path}",
            hint="free some space and run the same command again; nothing was lost",
        )


class DeviceFailed(Fault):
    """A file system became read-only, or a device does not answer as it should."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(
            f"{path} cannot be read or written",
            why=why,
            hint="`dmesg` tells what is amiss with the device; mend that and run the same command"
            " again",
        )
