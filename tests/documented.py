"""Tables in the documentation that tests have filled: what was seen, not what was meant.

A run with ``--write-docs`` puts what its tests found between the markers ``<!-- NAME -->`` and
``<!-- end of NAME -->`` of a page; every other run compares.
"""

from pathlib import Path


def block(page: Path, name: str) -> str:
    """What stands between the markers."""
    return _split(page, name)[1]


def write(page: Path, name: str, text: str) -> None:
    """Put ``text`` between the markers."""
    before, _, after = _split(page, name)
    page.write_text(f"{before}{text.strip()}\n{after}")


def _split(page: Path, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.read_text().partition(begin)
    text, closed, after = rest.partition(end)
    assert begin in page.read_text(), f"{page} has no marker {begin}"
    assert closed, f"{page} has no marker {end}"
    return before + begin, text, closed + after


def table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
