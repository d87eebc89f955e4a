"""Errors of ours that nobody foresaw: kept in a file that a report can carry."""

import sys
import tempfile

from reconciler.release import VERSION


def keep(trace: str) -> str:
    """Write the traceback with what else a report needs to a new file; returns its path."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="trueup-defect-", suffix=".txt", delete=False
    ) as file:
        file.write(f"trueup {VERSION}, Python {sys.version}\n{trace}")
    return file.name
