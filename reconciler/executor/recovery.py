"""What an interrupted run left: told from the journal.

There is nothing else to recover with: every verb of the runtime may be called again, so the next
plan, made from what is really there, finishes what a killed run began.
"""

from datetime import datetime

from reconciler.plan import verb
from reconciler.records.journal import Journal

DAY = 86_400.0


def interrupted(journal: Journal, project: str) -> str | None:
    """``the apply of 14:02 was interrupted at create container web; finishing it``, or None.

    Only the holder of the project's lock knows that a run that did not end was killed.
    """
    run = journal.unended(project)
    if run is None:
        return None
    step = run.next()
    at = f" at {verb(step.action)} {step.object}" if step else ""
    when = _when(run.began, journal.now())
    return f"the {run.command} of {when} was interrupted{at}; finishing it"


def _when(then: float, now: float) -> str:
    """``14:02`` in local time, with the day when it was not within the last one."""
    moment = datetime.fromtimestamp(then).astimezone()
    return moment.strftime("%H:%M" if 0 <= now - then < DAY else "%Y-%m-%d %H:%M")
