"""Registries, in a spec and in the file of the whole machine."""

from pathlib import Path

import pytest

from specs.load import load
from specs.model.project import Project
from specs.problems import SpecErrors
from specs.registries import MachineRegistries, load_registries

HELLO = "containers: {web: {image: nginx}}\n"


def _spec(folder: Path, text: str) -> Project:
    (folder / "trueup.yaml").write_text(text + HELLO)
    return load(folder, {}).project


def _machine(folder: Path, text: str, **environ: str) -> MachineRegistries:
    path = folder / "registries.yaml"
    path.write_text(text)
    return load_registries(str(path), environ)


def _refused(folder: Path, text: str) -> str:
    with pytest.raises(SpecErrors) as caught:
        _machine(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


WHOLE = """\
registries:
  r.lab:5000:
    ca: lab.pem
    cert: /etc/pki/own.pem
    key: ~/own.key
    mirrors: [mirror.lab:5000/hub, other.lab]
    partners: [auth.lab, 'minio.lab:9000']
  docker.io:
    insecure: true
"""


def test_files_are_relative_to_the_spec_and_mirrors_keep_their_order(tmp_path: Path) -> None:
    lab = _spec(tmp_path, WHOLE).registries["r.lab:5000"]
    assert (lab.ca, lab.cert, lab.key) == (
        f"{tmp_path}/lab.pem",
        "/etc/pki/own.pem",
        "/root/own.key",
    )
    assert lab.mirrors == ("mirror.lab:5000/hub", "other.lab")
    assert lab.partners == ("auth.lab", "minio.lab:9000")
    assert not lab.insecure


def test_the_machines_file_has_the_same_registries_and_a_search_list(tmp_path: Path) -> None:
    said = _machine(tmp_path, f"{WHOLE}search: [docker.io, r.lab:5000]\n")
    assert said.registries == _spec(tmp_path, WHOLE).registries
    assert said.search == ("docker.io", "r.lab:5000")
    assert str(said.span("search")) == f"{tmp_path}/registries.yaml:10"


def test_variables_are_filled_in_and_secrets_come_from_files_beside_it(tmp_path: Path) -> None:
    auth = "auth: {username: '${WHO}', password: {file: pw}}"
    said = _machine(tmp_path, f"registries: {{r.lab: {{{auth}}}}}", WHO="ann")
    found = said.registries["r.lab"].auth
    assert found
    assert (found.username, found.password.file) == ("ann", f"{tmp_path}/pw")


@pytest.mark.parametrize("text", ["", "# nothing\n", "registries:\nsearch:\n", "{}"])
def test_a_file_that_says_nothing_is_no_error(text: str, tmp_path: Path) -> None:
    said = _machine(tmp_path, text)
    assert (said.registries, said.search) == ({}, None)


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert load_registries(f"{tmp_path}/no/registries.yaml", {}).search is None


def test_an_empty_list_is_not_silence(tmp_path: Path) -> None:
    assert _machine(tmp_path, "search: []").search == ()
    assert _spec(tmp_path, "search_registries: []\n").search_registries == ()
    assert _spec(tmp_path, "search_registries:\n").search_registries is None
    assert _spec(tmp_path, "").search_registries is None


ALL_WRONG = """\
search: [lab, "http://x", [y]]
registry: {}
registries:
  r.lab: {cert: own.pem}
  x.lab: {mirrors: mirror.lab, ca: ""}
  "http://z": {auth: {username: u, password: geheim, nmae: x}}
"""


def test_all_that_is_wrong_with_the_machines_file_is_told_at_once(tmp_path: Path) -> None:
    told = _refused(tmp_path, ALL_WRONG)
    assert "geheim" not in told
    assert [line for line in told.splitlines() if line.startswith("registries.yaml")] == [
        "registries.yaml:1:10: `lab` does not fit here",
        "registries.yaml:1:15: `http://x` does not fit here",
        "registries.yaml:1:27: a list does not fit here",
        "registries.yaml:2:1: `registry` is not a key of the file of registries",
        "registries.yaml:4:3: registry `r.lab` takes `cert` and `key` together",
        "registries.yaml:5:20: registry `x.lab`, `mirrors`: `mirror.lab` does not fit here",
        "registries.yaml:5:36: registry `x.lab`, `ca`: an empty value does not fit here",
        "registries.yaml:6:3: registry `http://z`: `http://z` cannot be the name of a registry",
        "registries.yaml:6:54: `nmae` is not a key of `auth`",
    ]
    assert "  did you mean `registries`?" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("][", "registries.yaml:1:1: "),
        ("[a]", "registries.yaml:1:1: a list does not fit here"),
        ("registries: [a]", "registries.yaml:1:13: a list does not fit here"),
        ("search: docker.io", "registries.yaml:1:9: `docker.io` does not fit here"),
        ("search: [docker.io]\nsearch: []", "registries.yaml:2:1: "),
        ("registries: {r.lab: {ca: '${X:?set it}'}}", "registries.yaml:1:29: "),
        ("a: \x00", "registries.yaml:1:4: "),
    ],
)
def test_a_file_that_cannot_be_read_as_one_is_told_with_its_place(
    text: str, told: str, tmp_path: Path
) -> None:
    assert _refused(tmp_path, text).startswith(told)


@pytest.mark.parametrize(
    "host", ["r.lab:99999", "r.lab:0", "a..b", f"{'a' * 64}.lab", "'[:::::]:5000'", "'[1:2]'"]
)
def test_a_host_that_nobody_could_connect_to_is_refused(host: str, tmp_path: Path) -> None:
    for text in (
        f"search: [{host}]",
        f"registries: {{r.lab: {{mirrors: [{host}]}}}}",
        f"registries: {{r.lab: {{partners: [{host}]}}}}",
    ):
        told = _refused(tmp_path, text)
        assert "does not fit here" in told, text
    mirror = f"{host[:-1]}/hub'" if host.endswith("'") else f"{host}/hub"
    assert "does not fit here" in _refused(tmp_path, f"registries: {{r: {{mirrors: [{mirror}]}}}}")


def test_two_files_of_a_spec_do_not_both_order_the_registries(tmp_path: Path) -> None:
    (tmp_path / "trueup.d").mkdir()
    (tmp_path / "trueup.d/more.yaml").write_text("search_registries: [r.lab]\n")
    with pytest.raises(SpecErrors, match="the order of registries is declared twice"):
        _spec(tmp_path, "search_registries: [docker.io]\n")


def test_the_example_of_the_docs_says_what_it_means(tmp_path: Path) -> None:
    section = Path("docs/spec.md").read_text().partition("\n## Registries\n")[2]
    found = _spec(tmp_path, section.partition("```yaml\n")[2].partition("```")[0])
    assert found.search_registries == ("docker.io", "registry.example:5000")
    assert found.registries["docker.io"].mirrors == ("mirror.example:5000/hub",)
    assert found.registries["registry.example:5000"].key == f"{tmp_path}/me.key"
    assert found.registries["old.example"].insecure
