"""How an error reads: what is wrong, why, and what to do."""

from reconciler.views.terminal import escape
from runtime.errors import Fault


def describe(fault: Fault) -> str:
    """The text of a fault, over several lines where its parts have several; ends without a
    newline. Control characters in it are shown as text."""
    what = fault.brief
    lines = [*what.splitlines(), *(f"  {line}" for line in fault.hint.splitlines())]
    return "\n".join(escape(line, keep="\t") for line in lines)
