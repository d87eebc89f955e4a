"""Image names: any text is refused in words or comes back as it was written, and soon."""

import time

import pytest
from hypothesis import strategies as st

from runtime.reference import BadReference, Reference, parse
from tests.eventually import PATIENCE
from tests.fuzzing import depths, tried

DIGEST = "sha256:" + "0123456789abcdef" * 4
pieces = st.sampled_from([
    "a", "b1", "A", "library", "docker.io", "localhost", "quay.io", "[::1]", "127.0.0.1", "index",
    "/", "//", ":", "@", ".", "..", "-", "_", "__", "___", " ", "\n", "é", "\x1b", "%2f", "?",
    ":5000", ":99999", ":latest", ":1.27-alpine", f"@{DIGEST}", "@sha256:", "x" * 130, "f" * 64,
])  # fmt: skip
texts = st.one_of(st.lists(pieces, max_size=8).map("".join), st.text(max_size=40))


@depths
def test_any_text_is_a_name_or_none(examples: int) -> None:
    def check(text: str) -> None:
        try:
            found = parse(text)
        except BadReference:
            return
        assert parse(str(found)) == found
        assert parse(found.familiar) == found
        assert len(f"{found.host}/{found.repository}") <= 300
        assert not any(c.isspace() or ord(c) < 33 or ord(c) > 126 for c in str(found))
        assert ".." not in found.repository.split("/")

    tried(texts, check, 4 * examples)


@depths
def test_a_name_made_of_its_parts_is_read_as_these(examples: int) -> None:
    part = st.from_regex(r"[a-z0-9]+(?:(?:\.|_|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
    tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
    hosts = st.sampled_from(["quay.io", "localhost", "127.0.0.1:5000", "[::1]:5000", "docker.io"])
    paths = st.lists(part, min_size=2, max_size=4).map("/".join)
    digests = st.sampled_from(["", DIGEST])
    made = st.builds(Reference, host=hosts, repository=paths, tag=tags, digest=digests)

    def check(reference: Reference) -> None:
        if len(reference.repository) < 200 and "f" * 64 not in reference.repository:
            assert parse(str(reference)) == reference

    tried(made, check, examples)


LONG = ["a", "a-", "a/", "a.", "-", ":", "[", "a_", "@sha256:", "a:", "ü"]


@pytest.mark.parametrize("end", ["", "!"])
@pytest.mark.parametrize("part", LONG)
def test_a_text_of_a_megabyte_is_refused_at_once(part: str, end: str) -> None:
    began = time.monotonic()
    with pytest.raises(BadReference):
        parse(part * (1_000_000 // len(part)) + end)
    assert time.monotonic() - began < 1 * PATIENCE


def test_a_refusal_shows_no_control_characters() -> None:
    with pytest.raises(BadReference) as refused:
        parse("nginx\x1b[31m\n")
    assert "\x1b" not in str(refused.value)
