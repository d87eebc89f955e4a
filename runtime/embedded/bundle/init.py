"""A small first process that passes signals on and reaps what its children leave."""

from pathlib import Path

from runtime import programs
from runtime.errors import ProgramMissing

PLACE = "/dev/init"
_PROGRAMS = ("catatonit", "tini-static", "docker-init", "tini")
_INTERPRETER = 3  # PT_INTERP, elf(5): the program needs a loader, which the image may not have


def find() -> Path:
    """The host's, statically linked since it runs in any image. Raises ``ProgramMissing``."""
    for name in _PROGRAMS:
        try:
            path = Path(programs.find(name))
        except ProgramMissing:
            continue
        if _is_static(path):
            return path
    raise ProgramMissing(_PROGRAMS[0])


def _is_static(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(4096)
    size, count = (int.from_bytes(head[at : at + 2], "little") for at in (54, 56))
    table = int.from_bytes(head[32:40], "little")
    kinds = (head[table + n * size :][:4] for n in range(count))
    return head[:5] == b"\x7fELF\x02" and _INTERPRETER.to_bytes(4, "little") not in kinds
