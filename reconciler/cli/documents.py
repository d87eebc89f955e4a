"""How the ``inspect`` commands print: an array of documents, or a template for each."""

import sys
from collections.abc import Sequence

from reconciler.cli.arguments import Parser
from reconciler.views.inspect import Document


def add_format(parser: Parser) -> None:
    """Docker's ``-f``."""
    parser.add_argument(
        "-f",
        "--format",
        default="",
        help="`json` or a Go template for each (default: all, as JSON)",
    )


def show(documents: Sequence[Document], form: str) -> None:
    """Write them to stdout. Raises ``BadTemplate``."""
    import json

    if form in ("", "json"):
        indent = None if form else 4
        # Escapes are JSON's own, so nothing foreign reaches a terminal.
        sys.stdout.write(f"{json.dumps(list(documents), indent=indent)}\n")
        return
    from reconciler.views.template import Template
    from reconciler.views.terminal import escape

    template = Template(form)
    for each in documents:
        sys.stdout.write(f"{escape(template.render(each), keep=chr(9) + chr(10))}\n")
