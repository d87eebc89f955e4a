"""Paths on the host: written relative to the project's directory, kept absolute."""

import os

from specs.fields import Context
from specs.nodes import Text, text_at


def resolved(path: str, context: Context) -> str:
    """The absolute path, links left as they are; `~` is the caller's home."""
    if path == "~" or path.startswith("~/"):
        path = context.environ.get("HOME", "/root") + path[1:]
    return os.path.normpath(os.path.join(context.directory, path))


def resolved_node(path: Text, context: Context) -> Text:
    """The same for a node, which keeps its place."""
    node = text_at(resolved(str(path), context), path.span, path.width)
    node.written, node.unset = path.written, path.unset
    node.foreign, node.secret = path.foreign, path.secret
    return node
