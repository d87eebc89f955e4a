"""Whether this machine can run a program of another architecture."""

from pathlib import Path

from runtime.errors import Fault

_HANDLERS = Path("/proc/sys/fs/binfmt_misc")
# In the words of images (GOARCH): what runs on uname's machine, and how qemu calls it.
_NATIVE = {
    "x86_64": {"amd64", "386"},
    "aarch64": {"arm64", "arm"},
    "armv7l": {"arm"},
    "armv6l": {"arm"},
    "i686": {"386"},
}
_QEMU = {"amd64": "x86_64", "arm64": "aarch64", "386": "i386", "mips64le": "mips64el"}


class ForeignPlatform(Fault):
    """The image is for another processor, and nothing translates."""

    def __init__(self, container: str, platform: str, machine: str) -> None:
        self.container, self.platform, self.machine = container, platform, machine
        super().__init__(
            f"{container} cannot be created",
            why=f"its image is for {platform}, and this machine ({machine}) cannot run that",
            hint="apt-get install qemu-user-static, or use an image for this machine",
        )


def check(platform: str, machine: str, container: str, handlers: Path = _HANDLERS) -> None:
    """``platform`` as in linux/arm64/v8, "" for unknown; ``machine`` is uname's.

    Raises ``ForeignPlatform``."""
    architecture = [*platform.split("/"), ""][1]
    if not architecture or architecture in _NATIVE.get(machine, {machine}):
        return
    names = (_QEMU.get(architecture, architecture), architecture)
    found = (handler for name in names for handler in handlers.glob(f"*{name}"))
    if not any("enabled" in handler.read_text() for handler in found):
        raise ForeignPlatform(container, platform, machine)
