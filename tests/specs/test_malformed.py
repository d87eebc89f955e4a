"""Malformed specs and the whole text that each is answered with, side by side in `malformed/`."""

from pathlib import Path

import pytest

from specs.load import load
from specs.problems import SpecErrors

FOLDER = Path(__file__).parent / "malformed"
SPECS = sorted(path.name for path in FOLDER.glob("*.yaml"))
ENVIRON = {"HOME": "/root", "SECRET_LIMIT": "geheim"}


def answer(name: str) -> str:
    with pytest.raises(SpecErrors) as caught:
        load(name, ENVIRON)
    return str(caught.value).replace(str(FOLDER), "FOLDER")


@pytest.mark.parametrize("name", SPECS)
def test_a_malformed_spec_is_answered_with_this_text(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    assert answer(name) == (FOLDER / name).with_suffix(".txt").read_text()


@pytest.mark.parametrize("name", SPECS)
def test_no_answer_repeats_a_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    assert "geheim" not in answer(name)


def test_there_are_more_than_ten() -> None:
    assert len(SPECS) > 10
