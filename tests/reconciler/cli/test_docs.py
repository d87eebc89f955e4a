"""The documentation says what the program does."""

from pathlib import Path

import pytest

from reconciler.cli import catalogue
from reconciler.cli.main import main
from reconciler.views.reference import reference
from specs.schema import json_schema

COMMANDS = Path("docs/commands.md").read_text()


def test_the_reference_in_the_docs_is_that_of_the_schema() -> None:
    told = Path("docs/spec.md").read_text().partition("<!-- reference -->\n\n")[2]
    assert told == reference(json_schema()), "run: trueup schema --format markdown"


@pytest.mark.parametrize("name", catalogue.names())
def test_every_command_and_its_options_are_documented(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"trueup {name}" in COMMANDS
    main([name, "--help"])
    known = {"--help", "--root", "--lock-timeout"}
    words = capsys.readouterr().out.replace(",", " ").replace("[", " ").replace("]", " ").split()
    options = {word for word in words if word.startswith("--")} - known
    assert not [option for option in options if option not in COMMANDS]


def test_the_example_of_the_docs_is_a_valid_spec(tmp_path: Path) -> None:
    from specs.load import load

    text = Path("docs/spec.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "trueup.yaml").write_text(text)
    (tmp_path / "db.env").write_text("MYSQL_ROOT_PASSWORD=x\n")
    for name in ("site.tar.gz", "rootfs.tar"):
        (tmp_path / name).write_bytes(b"")
    assert sorted(load(tmp_path, {}).project.containers) == ["db", "web"]
