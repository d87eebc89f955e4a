"""What a container runs, merged from its spec and its image by Docker's rules: pure."""

import posixpath

import msgspec

from runtime.api import ContainerSpec, ImageDefaults
from runtime.errors import Fault

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NoCommand(Fault):
    """Neither the spec nor the image says what to run."""

    def __init__(self, image: str) -> None:
        self.image = image
        super().__init__(
            "there is nothing to run",
            why=f"the image {image} has neither an entrypoint nor a command",
            hint="set `command`",
        )


class BadWorkingDir(Fault):
    """A working directory in /proc would let the container out (CVE-2024-21626)."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"the working directory {path} is refused",
            why="below /proc it may lead out of the container",
            hint="set `working_dir` to a directory of the image",
        )


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """``env`` are ``NAME=value`` entries, each name once, sorted."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str


def merge(spec: ContainerSpec, image: ImageDefaults, *, hostname: str, home: str) -> Command:
    """Raises ``NoCommand`` and ``BadWorkingDir``."""
    args = arguments(spec, image)
    if not args:
        raise NoCommand(spec.image)
    return Command(
        args=args,
        env=environment(spec, image, hostname=hostname, home=home),
        cwd=working_dir(spec, image),
    )


def arguments(spec: ContainerSpec, image: ImageDefaults) -> tuple[str, ...]:
    """Entrypoint and command; an entrypoint in the spec makes the image's command void."""
    if spec.entrypoint is None:
        entrypoint, default = image.entrypoint, image.cmd
    else:
        entrypoint, default = spec.entrypoint, ()
    return (*entrypoint, *(default if spec.command is None else spec.command))


def environment(
    spec: ContainerSpec, image: ImageDefaults, *, hostname: str, home: str
) -> tuple[str, ...]:
    """Defaults, then the image's variables, then the spec's; the later wins."""
    values = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname, "HOME": home}
    if spec.tty:
        values["TERM"] = "xterm"
    for entry in image.env:
        name, _, value = entry.partition("=")
        values[name] = value
    values |= spec.environment
    return tuple(f"{name}={value}" for name, value in sorted(values.items()))


def working_dir(spec: ContainerSpec, image: ImageDefaults) -> str:
    """Raises ``BadWorkingDir``."""
    return plain_dir(spec.working_dir or image.working_dir or "/")


def plain_dir(written: str) -> str:
    """Absolute and without ``..``. Raises ``BadWorkingDir``."""
    path = posixpath.normpath(posixpath.join("/", written)).replace("//", "/")
    if path == "/proc" or path.startswith("/proc/"):
        raise BadWorkingDir(path)
    return path


def user(spec: ContainerSpec, image: ImageDefaults) -> str:
    """Who runs it, as written; "" is root."""
    return image.user if spec.user is None else spec.user


def stop_signal(spec: ContainerSpec, image: ImageDefaults) -> str:
    """The signal that asks it to end, as written."""
    return spec.stop_signal or image.stop_signal or "SIGTERM"
