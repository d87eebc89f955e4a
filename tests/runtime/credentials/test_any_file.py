"""Whatever a file of logins holds: an answer or one clear error, and what is kept is found."""

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runtime.credentials.faults import BadHelperName, HelperMissing, LoginsDamaged
from runtime.credentials.files import LoginsFile, Secret
from runtime.credentials.keeping import forget, keep
from runtime.credentials.lookup import login_in

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
OURS = frozenset({"auths", "credHelpers", "credsStore"})
KEYS = st.sampled_from(["r.lab", "https://r.lab/v1/", "r.lab/team", "x.lab", "auth", "username"])
NAMES = st.sampled_from(["auths", "credHelpers", "credsStore", "auth", "identitytoken", "more"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | NAMES, inner, max_size=3),
    max_leaves=12,
)


def _file(folder: str, document: object) -> LoginsFile:
    path = Path(folder, "config.json")
    path.write_text(json.dumps(document))
    return LoginsFile(path=path)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_document_gives_an_answer_or_one_clear_error(document: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = _file(folder, document)
        told = str(file.path)
        try:
            login_in(file, "r.lab", "team/app", {})
        except (LoginsDamaged, HelperMissing, BadHelperName) as fault:
            told = str(fault)
        assert str(file.path) in told
        assert json.loads(file.path.read_text()) == document


@given(
    TEXTS.filter(lambda name: name != "" and ":" not in name),
    TEXTS.filter(lambda password: password != ""),
    st.booleans(),
    st.dictionaries(TEXTS.filter(lambda key: key not in OURS), VALUES, max_size=3),
)
def test_what_is_kept_is_found_and_forgotten_and_the_rest_stays(
    username: str, password: str, podman: bool, rest: dict[str, object]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = LoginsFile(path=_file(folder, rest).path, podman=podman)
        keep(file, "docker.io", Secret(username=username, password=password), {})
        found = login_in(file, "docker.io", "library/x", {})
        assert found
        assert (found.username, found.password) == (username, password)
        assert forget([file], "docker.io", {})
        assert json.loads(file.path.read_text()) == {**rest, "auths": {}}
