"""Which places of a spec hold secrets: no excerpt of its text shows them.

What stands on one line with its key is found in the text itself (`source.py`), even when the YAML
is broken; here are the places that need the tree.
"""

import re
from typing import Final

from specs.nodes import List, Map, Node, Text
from specs.source import Region, Source

_SECRET_KEY: Final = re.compile(r"(?i)pass?w|pwd|secret|token|credential|api_?key|private_?key")
_HARMLESS: Final = {"username", "env", "file"}  # below `auth`


def hide_secrets(source: Source, root: Node | None) -> None:
    """Keep what is below `auth:` and keys that sound like a secret out of excerpts and words."""
    _walk(source, root, auth=False, seen=set())


def _walk(source: Source, node: Node | None, *, auth: bool, seen: set[tuple[int, bool]]) -> None:
    if (id(node), auth) in seen:
        return
    seen.add((id(node), auth))
    if isinstance(node, Map):
        for key, value in node.items():
            if isinstance(value, Text):
                if key == "auth" or (auth and key not in _HARMLESS) or _SECRET_KEY.search(key):
                    _hide(source, value)
            else:
                _walk(source, value, auth=auth or key == "auth", seen=seen)
    elif isinstance(node, List):
        for item in node:
            if isinstance(item, Text) and auth:
                _hide(source, item)
            else:
                _walk(source, item, auth=auth, seen=seen)


def _hide(source: Source, node: Text) -> None:
    if node.null:
        return
    node.secret = True
    first = node.span.line
    one_line = node.last_line == first
    start = node.span.column - 1
    source.hide(first, Region(start=start, end=start + node.width if one_line else None))
    for line in range(first + 1, node.last_line + 1):
        source.hide(line, Region(start=0, end=None))
