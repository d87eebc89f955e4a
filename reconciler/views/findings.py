"""What was found of a host, as a table with the commands that mend it, or as JSON."""

from collections.abc import Sequence

from reconciler.views.tables import table
from reconciler.views.terminal import escape
from runtime.api import Finding, Verdict, encode


def as_text(findings: Sequence[Finding]) -> str:
    """The table, then what is not as it should be with its commands, ready to be pasted."""
    rows = [(each.subject, each.verdict.value, each.text) for each in findings]
    listed = table(("CHECK", "VERDICT", "FOUND"), rows)
    mends = [_mend(each) for each in findings if each.commands]
    return "\n".join([listed, *mends])


def _mend(finding: Finding) -> str:
    why = "" if finding.verdict is Verdict.OK else f": {finding.text}"
    lines = [f"# {finding.subject}{why}", *finding.commands]
    return "".join(f"{escape(line)}\n" for line in lines)


def as_json(findings: Sequence[Finding]) -> str:
    """An object per line."""
    return "".join(f"{encode(each).decode()}\n" for each in findings)
