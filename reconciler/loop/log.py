"""The loop's log: one line per event on stderr, as key=value or as JSON."""

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.views.terminal import escape

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

FORMS = ("logfmt", "json")


def logger(stream: TextIO, form: str) -> "FilteringBoundLogger":
    """A logger to ``stream``; ``form`` is one of FORMS."""
    import structlog

    renderer = (
        structlog.processors.JSONRenderer(ensure_ascii=True)
        if form == "json"
        else structlog.processors.LogfmtRenderer(key_order=["time", "level", "event"])
    )
    made: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _shown,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    return made


def _shown(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Foreign characters as text, nothing empty; the renderer deals with line ends."""
    return {
        key: escape(value, keep="\n") if isinstance(value, str) else value
        for key, value in event.items()
        if value != ""
    }
