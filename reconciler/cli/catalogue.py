"""The commands that exist, as plain data: listing them or naming one imports none of them.

A command ``x`` lives in the module that ``module`` names and has there ``Options``,
``arguments(parser)`` and ``run(options) -> int``.
"""

from collections.abc import Sequence
from keyword import iskeyword

# group -> (command, one line about it), in the order in which they are listed
GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "Make the machine true to a spec": (
        ("apply", "Create, change and remove what differs from the spec"),
        ("plan", "Show what apply would do"),
        ("watch", "Keep the machine true to the spec"),
        ("status", "Show every object of a spec and whether it is in sync"),
        ("down", "Remove what a project owns; volumes only when named"),
    ),
    "Work on specs": (
        ("validate", "Check a spec and report all its errors"),
        ("lock", "Pin what the image references of a spec mean, in a file beside it"),
        ("schema", "Print the JSON Schema of specs, for editors"),
    ),
    "Look at containers": (
        ("ps", "List containers"),
        ("logs", "Show what a container has written"),
        ("exec", "Run a command in a running container"),
        ("top", "Show the processes of a container"),
        ("inspect", "Tell all about containers, networks, volumes or images, as JSON"),
        ("port", "Show where the ports of a container are published"),
        ("export", "Write the file system of a container to a tar file"),
    ),
    "Networks and volumes": (
        ("network", "List networks, or tell all about them"),
        ("volume", "List volumes, tell all about them, or remove them"),
    ),
    "Images": (
        ("images", "List the images that are here"),
        ("pull", "Fetch an image from a registry"),
        ("push", "Send an image to a registry"),
        ("tag", "Give an image a further name"),
        ("rmi", "Remove images"),
        ("history", "Show how an image was made"),
        ("save", "Write images to an archive"),
        ("load", "Take the images of an archive in"),
        ("import", "Make an image from a tar file of a file system"),
        ("search", "Look for images in Docker Hub or another registry"),
        ("login", "Log in to a registry and keep the password for later"),
        ("logout", "Forget the password for a registry"),
        ("image", "All of these, and inspect, prune and verify"),
    ),
    "About": (
        ("doctor", "Show what this host has and lacks, with the commands that mend it"),
        ("version", "Show the versions of trueup and of the engine's parts"),
    ),
}

# Commands of a group: what each is, a command of its own or (module, one line about it).
MEMBERS: dict[str, dict[str, str | tuple[str, str]]] = {
    "image": {
        "ls": "images",
        "inspect": ("image_inspect", "Tell all about images, as JSON"),
        "history": "history",
        "pull": "pull",
        "push": "push",
        "tag": "tag",
        "rm": "rmi",
        "prune": ("image_prune", "Remove the images that nothing uses"),
        "verify": ("image_verify", "Read images again and tell what is damaged"),
        "save": "save",
        "load": "load",
        "import": "import",
    }
}

# What other tools call it, or what does here what they have a command for.
_ELSEWHERE = {
    "apply": ("create", "deploy", "start", "up", "update"),
    "down": ("delete", "destroy"),
    "inspect": ("describe",),
    "plan": ("diff",),
    "ps": ("get", "list", "ls"),
    "validate": ("check", "config", "lint"),
}
# Nothing here does that; a word that only looks like it would lead astray.
_NOWHERE = ("build", "cp", "kill", "restart", "rm", "run", "stats", "stop")


def names() -> tuple[str, ...]:
    """Every command, in the order of the listing."""
    return tuple(name for group in GROUPS.values() for name, _ in group)


def summary(command: str) -> str:
    """The one line about a command, or about a member of a group (``image ls``)."""
    group, _, member = command.partition(" ")
    if member:
        known = MEMBERS[group][member]
        return summary(known) if isinstance(known, str) else known[1]
    return next(text for group in GROUPS.values() for name, text in group if name == command)


def module(command: str) -> str:
    """Where a command, or a member of a group, lives; a word of Python's own gets a ``_``."""
    group, _, member = command.partition(" ")
    if member:
        known = MEMBERS[group][member]
        return module(known) if isinstance(known, str) else f"reconciler.cli.{known[0]}"
    return f"reconciler.cli.{command}{'_' if iskeyword(command) else ''}"


def listing() -> str:
    """What ``trueup`` alone prints."""
    width = max(map(len, names()))
    lines = ["Usage: trueup [--root DIR] [--lock-timeout SECONDS] COMMAND ...", ""]
    for title, commands in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<{width}}  {text}" for name, text in commands), ""]
    lines += ["`trueup COMMAND --help` tells more about one of them.", ""]
    return "\n".join(lines)


def meant(word: str) -> str | None:
    """The command that was probably meant by a word that is none."""
    if word in _NOWHERE:
        return None
    named = (name for name, words in _ELSEWHERE.items() if word in words)
    return next(named, None) or nearest(word, names())


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that was probably meant."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, known, n=1, cutoff=0.5)), None)
