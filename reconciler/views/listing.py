"""A list of things as a table, as JSON lines or by the user's own template."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.views.tables import aligned, table
from reconciler.views.terminal import escape

if TYPE_CHECKING:
    from reconciler.views.template import Values


def listing(
    rows: "Sequence[Values]",
    titles: Mapping[str, str],
    *,
    columns: Sequence[str],
    form: str,
) -> str:
    """Show ``rows`` (field -> value) as ``form`` says: ``table`` with these ``columns``,
    ``json`` (an object per line), or a template; ``titles`` are the headers of the fields.

    Raises ``BadTemplate``.
    """
    if form == "json":
        import json

        return "".join(f"{json.dumps(row, ensure_ascii=True)}\n" for row in rows)
    if form == "table":
        return table(
            [titles[each] for each in columns],
            [[str(row[each]) for each in columns] for row in rows],
        )
    from reconciler.views.template import Template

    template = Template(form)
    lines = [template.render(row) for row in rows]
    if template.table:
        cells = [template.header(titles), *lines]
        return aligned([[escape(cell) for cell in line.split("\t")] for line in cells])
    return "".join(f"{escape(line, keep=chr(9) + chr(10))}\n" for line in lines)
