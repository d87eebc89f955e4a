"""Whose namespaces a container lives in: `network_mode`, `pid`, `ipc`, `uts` and their kin."""

from collections.abc import Callable
from typing import Annotated, Final

from specs.notations import OBJECT_NAME, matching, scalar
from specs.problems import nearest_word
from specs.scalars import Unreadable

SERVICE: Final = "service:"
CONTAINER: Final = "container:"
_NAME: Final = matching(OBJECT_NAME, "the name of a container after the colon")


def _mode(
    what: str, own: tuple[str, ...], words: tuple[str, ...], *, joins: bool = True
) -> Callable[[str], str]:
    """A reader of modes: "" for the words that mean its own, else the word as it is."""
    known = (*own, *words)
    shown = (*known, *(("service:NAME", "container:NAME") if joins else ()))
    expected = "one of " + ", ".join(shown)

    def read(text: str) -> str:
        if text in own:
            return ""
        prefix, colon, name = text.partition(":")
        if joins and colon and prefix in ("service", "container"):
            return f"{prefix}:{_NAME(name)}"
        if text in words:
            return text
        raise Unreadable(expected, reason=f"is not {what}", nearest=nearest_word(text, known))

    return read


def _field(read: Callable[[str], str]) -> tuple[object, ...]:
    return scalar(read, "a word such as host", {"type": "string"})


_MODES: Final = {
    "network": _mode("a network mode", ("bridge", "default"), ("host", "none")),
    "pid": _mode("a mode of `pid`", ("private",), ("host",)),
    "ipc": _mode("a mode of `ipc`", ("private",), ("host", "shareable")),
    "uts": _mode("a mode of `uts`", ("private",), ("host",), joins=False),
    "userns": _mode("a mode of `userns_mode`", (), ("host",), joins=False),
    "cgroup": _mode("a mode of `cgroup`", (), ("private", "host"), joins=False),
}

NetworkMode = Annotated[str, *_field(_MODES["network"])]
Pid = Annotated[str, *_field(_MODES["pid"])]
Ipc = Annotated[str, *_field(_MODES["ipc"])]
Uts = Annotated[str, *_field(_MODES["uts"])]
Userns = Annotated[str, *_field(_MODES["userns"])]
Cgroup = Annotated[str, *_field(_MODES["cgroup"])]


def joined(mode: str) -> str:
    """The container that a mode names, by whatever name; "" when it names none."""
    prefix, _, name = mode.partition(":")
    return name if prefix in ("service", "container") else ""
