"""What is known of registries, from the spec and from the file of the machine."""

import os
from pathlib import Path
from textwrap import dedent

import pytest

from reconciler.registries import CONFIG_DIR, Registries, known
from reconciler.short_names import Search
from reconciler.spec import SpecBroken
from runtime.api import RegistryAccess
from specs.load import load

HELLO = "containers: {web: {image: r.lab/web}}\n"


def _known(folder: Path, machine: str, spec: str | None = "", **environ: str) -> Registries:
    """``folder``/etc is the machine's; a spec lies in ``folder``/shop unless it is None."""
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "etc/registries.yaml").write_text(dedent(machine))
    environ = {CONFIG_DIR: str(folder / "etc"), **environ}
    if spec is None:
        return known(None, environ)
    (folder / "shop").mkdir(exist_ok=True)
    (folder / "shop/trueup.yaml").write_text(dedent(spec) + HELLO)
    return known(load(folder / "shop", environ).project, environ)


MACHINE = """\
    registries:
      r.lab:
        ca: lab.pem
        insecure: true
        mirrors: [mirror.lab]
        partners: [auth.lab]
        auth: {username: machine, password: {env: PW}}
      x.lab: {insecure: true}
    search: [r.lab, docker.io]
"""


def test_without_a_spec_the_machines_file_alone_counts(tmp_path: Path) -> None:
    place = f"{tmp_path}/etc/registries.yaml"
    assert _known(tmp_path, MACHINE, None, PW="geheim") == Registries(
        access=(
            RegistryAccess(
                host="r.lab", ca=f"{tmp_path}/etc/lab.pem", insecure=True, mirrors=("mirror.lab",),
                partners=("auth.lab",), username="machine", password="geheim",
            ),
            RegistryAccess(host="x.lab", insecure=True),
        ),
        search=Search(hosts=("r.lab", "docker.io"), place=f"{place}:9"),
    )  # fmt: skip


def test_without_either_there_is_docker_hub(tmp_path: Path) -> None:
    assert known(None, {CONFIG_DIR: str(tmp_path)}) == Registries()
    assert Registries().search.hosts == ("docker.io",)


def test_the_spec_replaces_field_by_field(tmp_path: Path) -> None:
    spec = """\
        registries:
          r.lab: {insecure: false, cert: own.pem, key: own.key, auth: {username: u, password: p}}
          y.lab:
    """
    lab, x, y = _known(tmp_path, MACHINE, spec).access
    assert lab == RegistryAccess(
        host="r.lab", ca=f"{tmp_path}/etc/lab.pem", certificate=f"{tmp_path}/shop/own.pem",
        key=f"{tmp_path}/shop/own.key", mirrors=("mirror.lab",), partners=("auth.lab",),
        username="u", password="p",
    )  # fmt: skip
    assert (x.host, x.insecure, y) == ("x.lab", True, RegistryAccess(host="y.lab"))


def test_a_field_that_is_written_without_a_value_says_nothing(tmp_path: Path) -> None:
    (lab, _) = _known(tmp_path, MACHINE, "registries: {r.lab: {mirrors: , insecure: }}\n").access
    assert (lab.mirrors, lab.insecure) == (("mirror.lab",), True)


def test_an_empty_list_of_mirrors_takes_the_machines_away(tmp_path: Path) -> None:
    (lab, _) = _known(tmp_path, MACHINE, "registries: {r.lab: {mirrors: []}}\n").access
    assert lab.mirrors == ()


def test_the_specs_order_replaces_the_machines(tmp_path: Path) -> None:
    found = _known(tmp_path, MACHINE, "search_registries: [x.lab]\n").search
    assert found == Search(hosts=("x.lab",), place=f"{tmp_path}/shop/trueup.yaml:1")
    assert _known(tmp_path, MACHINE).search.hosts == ("r.lab", "docker.io")


def test_a_missing_password_names_the_file_that_wants_it(tmp_path: Path) -> None:
    lab = _known(tmp_path, MACHINE).access[0]
    place = f"{tmp_path}/etc/registries.yaml:7"
    assert lab.missing == f"the variable PW is not set ({place})"


@pytest.mark.parametrize(
    ("auth", "why"),
    [
        ("{username: u, password: {env: PW}}", "the variable PW is not UTF-8"),
        ("{username: u, password: '${PW}'}", "its text is not UTF-8"),
        ("{username: '${PW}', password: p}", "the username is not UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_no_login(auth: str, why: str, tmp_path: Path) -> None:
    machine = f"registries: {{r.lab: {{auth: {auth}}}}}"
    (lab,) = _known(tmp_path, machine, None, PW=os.fsdecode(b"p\xe4ss")).access
    assert lab.missing.startswith(f"{why} ({tmp_path}/etc/registries.yaml:1")
    assert lab.password == ""


def test_a_broken_file_of_the_machine_is_told_as_a_spec_would_be(tmp_path: Path) -> None:
    for spec in ("", None):
        with pytest.raises(SpecBroken) as caught:
            _known(tmp_path, "registries: {r.lab: {insecre: true}}", spec)
        assert caught.value.what.startswith(f"{tmp_path}/etc/registries.yaml:1:22: `insecre` is")
        assert "did you mean `insecure`?" in caught.value.what
        assert caught.value.exit_code == 64


def test_it_is_read_at_each_look(tmp_path: Path) -> None:
    assert _known(tmp_path, "search: [a.lab]").search.hosts == ("a.lab",)
    assert _known(tmp_path, "search: [b.lab]").search.hosts == ("b.lab",)
