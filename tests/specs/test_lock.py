"""The lock file as text: what is written is read, and what is damaged is told with its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.lock import Lock, Pin, lock_path, read_lock, render
from specs.problems import SpecErrors

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
LOCK = Lock(
    path="trueup.lock",
    pins={
        "r.lab:5000/app:1": Pin(digest=TWO),
        "nginx:1.27": Pin(
            digest=ONE, tag="1.27.5", platforms={"linux/arm64": TWO, "linux/amd64": ONE}
        ),
    },
)
TEXT = f"""\
# Written by `trueup lock`: what image references mean. Keep it with the spec.
version: 1
images:
  "nginx:1.27":
    tag: "1.27.5"
    digest: {ONE}
    platforms:
      linux/amd64: {ONE}
      linux/arm64: {TWO}
  "r.lab:5000/app:1":
    digest: {TWO}
"""


def test_it_is_sorted_and_has_a_block_for_each_reference() -> None:
    assert render(LOCK) == TEXT


def test_nothing_to_lock_is_a_lock_file_too(tmp_path: Path) -> None:
    path = tmp_path / "trueup.lock"
    path.write_text(render(Lock(path="")))
    assert read_lock(str(path)) == Lock(path=str(path))


HEX = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda each: f"sha256:{each}")
NAMES = st.from_regex(
    r"[a-z0-9][a-z0-9./:_-]{0,20}:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True
)
PLATFORMS = st.sampled_from(["linux/amd64", "linux/arm/v7", "linux/386"])
PINS = st.builds(
    lambda digest, tag, platforms: Pin(digest=digest, tag=tag, platforms=platforms),
    HEX,
    st.sampled_from(["", "1", "1.27.5", "no", "1e3", "0x1"]),
    st.dictionaries(PLATFORMS, HEX),
)


@given(st.dictionaries(NAMES, PINS, max_size=4))
def test_what_is_written_is_read(pins: dict[str, Pin]) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".lock") as file:
        file.write(render(Lock(path=file.name, pins=pins)))
        file.flush()
        assert read_lock(file.name) == Lock(path=file.name, pins=pins)


def test_there_need_be_none(tmp_path: Path) -> None:
    assert read_lock(str(tmp_path / "trueup.lock")) is None


BROKEN: dict[str, tuple[str, str]] = {
    "a merge that was not finished": (
        "version: 1\n<<<<<<< HEAD\nimages: {}\n",
        "trueup.lock:3:1: ",
    ),
    "another version": ("version: 2\n", "trueup.lock:1:10: the lock file has version `2`"),
    "a list": ("- a\n", "trueup.lock:1:1: "),
    "images as a list": ("version: 1\nimages: [a]\n", "trueup.lock:2:9: "),
    "an unknown key": ("version: 1\nimage: {}\n", "trueup.lock:2:1: `image` is not a key of"),
    "no digest": ('images:\n  "a:1":\n    tag: x\n', "trueup.lock:3:5: it has no `digest`"),
    "no text": ('images:\n  "a:1": {digest: [x]}\n', "trueup.lock:2:19: "),
    "half a digest": (
        f'images:\n  "a:1":\n    digest: {ONE[:-1]}\n',
        f"trueup.lock:3:13: `{ONE[:-1]}` is no digest",
    ),
    "a platform without one": (
        f'images: {{"a:1": {{digest: "{ONE}", platforms: {{linux/amd64: }}}}}}\n',
        "trueup.lock:1:126: ",
    ),
    "bytes": ("images: \0\n", "trueup.lock:1:9: "),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_damaged_is_told_with_its_place(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, told = BROKEN[case]
    monkeypatch.chdir(tmp_path)
    Path("trueup.lock").write_text(text)
    with pytest.raises(SpecErrors) as error:
        read_lock("trueup.lock")
    assert str(error.value).startswith(told)
    assert "`trueup lock`" in str(error.value) or "a newer trueup" in str(error.value)


PATHS = [("", "trueup.lock"), ("shop.yaml", "shop.lock"), ("trueup.yml", "trueup.lock")]


@pytest.mark.parametrize(("spec", "lock"), PATHS)
def test_it_lies_beside_its_spec(
    spec: str, lock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    assert lock_path(f"below/{spec}" if spec else "below") == f"below/{lock}"
