"""Folders -> projects: several files, environment files, places, and what must not be read."""

import os
import time
from pathlib import Path

import pytest

from specs.load import load
from specs.model.container import Container
from specs.model.network import Network
from specs.model.project import Project
from specs.naming import default_name, project_name
from specs.problems import SpecErrors
from tests.specs.reading import container, loaded, problems, write

HELLO = "containers: {web: {image: nginx}}\n"


def test_the_smallest_spec(tmp_path: Path) -> None:
    project = loaded(tmp_path / "My Shop", HELLO).project
    assert project == Project(
        name="my-shop",
        directory=str(tmp_path / "My Shop"),
        files=(str(tmp_path / "My Shop" / "trueup.yaml"),),
        networks={"default": Network()},
        containers={"web": Container(image="nginx")},
    )


def test_a_file_may_have_any_name_and_its_folder_is_the_projects(tmp_path: Path) -> None:
    write(tmp_path, {"shop.yaml": HELLO, "trueup.d/more.yaml": HELLO})
    project = load(tmp_path / "shop.yaml", {}).project
    assert (project.directory, list(project.containers)) == (str(tmp_path), ["web"])


def test_top_level_keys_of_compose_that_mean_nothing_are_ignored(tmp_path: Path) -> None:
    text = "version: 3.9\nx-anything: [1]\nvolumes:\n" + HELLO
    assert list(loaded(tmp_path, text).project.containers) == ["web"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("shop", "shop"),
        ("My Shop!", "my-shop"),
        ("_x_", "x"),
        ("3d", "3d"),
        ("Ünö", "n"),
        ("...", ""),
    ],
)
def test_the_folders_name_made_valid(folder: str, name: str) -> None:
    assert default_name(f"/srv/{folder}") == name


def test_parts_are_merged_in_the_order_of_their_names(tmp_path: Path) -> None:
    files = {
        "trueup.yaml": "project: shop\ncontainers: {a: {image: x}}\n",
        "trueup.d/20.yml": "containers: {c: {image: x, volumes: ['v:/v']}}\n",
        "trueup.d/10.yaml": "volumes: {v: }\ncontainers: {b: {image: x}}\n",
        "trueup.d/.hidden.yaml": "no: 1",
        "trueup.d/README": "no",
    }
    project = load(write(tmp_path, files), {}).project
    assert list(project.containers) == ["a", "b", "c"]
    assert [os.path.relpath(path, tmp_path) for path in project.files] == [
        "trueup.yaml",
        "trueup.d/10.yaml",
        "trueup.d/20.yml",
    ]


def test_a_name_declared_twice_is_told_with_both_places(tmp_path: Path) -> None:
    files = {
        "trueup.yaml": "project: a\nvolumes: {v: }\n" + HELLO,
        "trueup.d/web.yaml": "project: b\nvolumes:\n  v: {}\ncontainers:\n  web: {image: httpd}\n",
    }
    assert problems(write(tmp_path, files)) == (
        "trueup.d/web.yaml:1:1: the project's name is declared twice\n"
        "  1 | project: b\n"
        "    | ^^^^^^^\n"
        "  it is declared first at trueup.yaml:1:1:\n"
        "  1 | project: a\n"
        "    | ^^^^^^^\n"
        "\n"
        "trueup.d/web.yaml:3:3: volume `v` is declared twice\n"
        "  3 |   v: {}\n"
        "    |   ^\n"
        "  it is declared first at trueup.yaml:2:11:\n"
        "  2 | volumes: {v: }\n"
        "    |           ^\n"
        "\n"
        "trueup.d/web.yaml:5:3: container `web` is declared twice\n"
        "  5 |   web: {image: httpd}\n"
        "    |   ^^^\n"
        "  it is declared first at trueup.yaml:3:14:\n"
        "  3 | containers: {web: {image: nginx}}\n"
        "    |              ^^^\n"
    )


def test_problems_of_all_files_come_at_once_but_no_guesses_about_a_broken_one(
    tmp_path: Path,
) -> None:
    files = {
        "trueup.yaml": "containers: {web: {image: nginx, volumes: ['v:/v'], cpus: x}}\n",
        "trueup.d/volumes.yaml": "volumes: {v: \n",
    }
    assert [line.partition(": ")[0] for line in problems(write(tmp_path, files)).split("\n\n")] == [
        "trueup.d/volumes.yaml:2:1",
        "trueup.yaml:1:59",
    ]


BROKEN = {
    "nothing": "",
    "a comment": "# later\n",
    "an empty document": "---\n",
    "null": "~\n",
    "only a name": "project: x\n",
    "no containers": "containers: {}\n",
    "a bare key": "containers:\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_empty_spec_is_broken_and_never_an_empty_project(tmp_path: Path, case: str) -> None:
    with pytest.raises(SpecErrors, match="taken as broken"):
        loaded(tmp_path, BROKEN[case])


def test_a_spec_that_vanished_is_broken(tmp_path: Path) -> None:
    assert problems(tmp_path) == (
        "trueup.yaml: the file does not exist\n"
        "  name a spec, or a folder that holds a `trueup.yaml`\n"
    )
    assert "does not exist" in problems(tmp_path / "nowhere")


def test_files_are_named_as_the_user_named_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"shop/trueup.yaml": HELLO})
    monkeypatch.chdir(tmp_path)
    project = load("./shop", {}).project
    assert str(project.span("containers", "web", "image")) == "shop/trueup.yaml:1"
    monkeypatch.chdir(tmp_path / "shop")
    assert str(load(".", {}).project.span("containers", "web")) == "trueup.yaml:1"


def test_every_value_knows_its_line(tmp_path: Path) -> None:
    text = (
        "x-base: &base\n"
        "  mem_limit: 1g\n"
        "containers:\n"
        "  web:\n"
        "    image: nginx\n"
        "    <<: *base\n"
        "    ports:\n"
        "      - 80\n"
        "      - 81\n"
    )
    project = loaded(tmp_path, text).project

    def line(*path: str) -> int | None:
        span = project.span(*path)
        return span.line if span else None

    assert line("containers", "web", "mem_limit") == 2
    assert line("containers", "web", "image") == 5
    assert line("containers", "web", "ports", "1") == 9
    assert line("containers", "web", "ports", "7") == 7
    assert line("containers", "web", "cpus") == 4
    assert line("containers", "nobody") == 3
    assert line("networks", "default") is None
    assert Project(name="x", directory="/").span("containers") is None


def test_projects_that_differ_only_in_places_are_equal(tmp_path: Path) -> None:
    assert loaded(tmp_path, HELLO).project == loaded(tmp_path, "\n\n" + HELLO).project


def test_dotenv_is_below_the_callers_environment(tmp_path: Path) -> None:
    write(tmp_path, {".env": "A=file\nB=file\n"})
    read = container(tmp_path, "labels: {a: $A, b: $B, c: '${C:-default}'}", {"A": "caller"})
    assert read.labels == {"a": "caller", "b": "file", "c": "default"}


def test_an_unset_variable_is_a_warning_and_empty(tmp_path: Path) -> None:
    write(tmp_path, {"trueup.yaml": "containers: {c: {image: x, command: 'run $A ${A} ${B:-}'}}\n"})
    assert problems(tmp_path) == (
        "only warnings\n"
        "trueup.yaml:1:37: `A` is not set, so it is read as empty text\n"
        "  1 | containers: {c: {image: x, command: 'run $A ${A} ${B:-}'}}\n"
        "    |                                     ^^^^^^^^^^^^^^^^^^^^\n"
        "  set it, or give it a default: `${A:-…}`\n"
    )


def test_a_missing_source_of_a_bind_mount_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, {"trueup.yaml": "containers: {c: {image: x, volumes: [./conf:/c]}}\n"})
    assert "there is no `conf` on this host" in problems(tmp_path)
    (tmp_path / "conf").mkdir()
    assert problems(tmp_path) == "only warnings\n"


def test_environment_files_are_below_the_environment(tmp_path: Path) -> None:
    write(tmp_path, {"a.env": "A=1\nB=1\nC=1\n", "b.env": "B=2\nC=2\nCALLER\nABSENT\n"})
    fields = "env_file: [a.env, {path: b.env}, {path: c.env, required: false}], environment: {C: 3}"
    read = container(tmp_path, fields, {"CALLER": "me"})
    assert read.environment == {"A": "1", "B": "2", "C": "3", "CALLER": "me"}
    assert read.secret_environment == {"A", "B", "CALLER"}


def test_values_from_files_and_from_the_caller_are_secret(tmp_path: Path) -> None:
    write(tmp_path, {".env": "PW=geheim\n", "c.env": "F=geheim\n"})
    environ = {"GIVEN": "geheim", "PASSED": "geheim"}
    fields = (
        "env_file: c.env, "
        "environment: {P: $PW, G: 'x${GIVEN}y', PASSED: , D: '${U:-plain}', E: plain}"
    )
    read = container(tmp_path, fields, environ)
    assert read.secret_environment == {"F", "P", "G", "PASSED"}
    assert "geheim" not in repr(read) + str(read)
    assert "plain" in repr(read)
    listed = container(tmp_path, "environment: ['P=$PW', PASSED, E=plain]", environ)
    assert listed.secret_environment == {"P", "PASSED"}


def test_a_password_is_in_no_text_of_the_project(tmp_path: Path) -> None:
    text = HELLO + "registries: {r.lab: {auth: {username: u, password: geheim}}}\n"
    project = loaded(tmp_path, text).project
    auth = project.registries["r.lab"].auth
    assert auth is not None
    assert auth.password.value == "geheim"
    assert "geheim" not in repr(project) + str(project)


def test_the_three_sources_of_a_password(tmp_path: Path) -> None:
    text = HELLO + (
        "registries:\n"
        "  a: {auth: {username: u, password: {env: PW}}}\n"
        "  b:5000: {insecure: true, auth: {username: u, password: {file: pw.txt}}, mirrors: []}\n"
    )
    registries = loaded(tmp_path, text).project.registries
    assert [(r.auth.password.env, r.auth.password.file) for r in registries.values() if r.auth] == [
        ("PW", None),
        (None, str(tmp_path / "pw.txt")),
    ]


def test_images_of_three_kinds_with_absolute_paths(tmp_path: Path) -> None:
    text = HELLO + (
        "images:\n"
        "  a: {from: 'docker.io/library/mysql:8.4', pull: newer}\n"
        "  b: {archive: ./b.tar}\n"
        "  c: {rootfs: c.tar, config: {cmd: sh -c x, env: [A=1], user: 5, working_dir: /w}}\n"
    )
    write(tmp_path, {"b.tar": "", "c.tar": ""})
    images = loaded(tmp_path, text).project.images
    assert images["a"].from_ == "docker.io/library/mysql:8.4"
    assert images["b"].archive == str(tmp_path / "b.tar")
    config = images["c"].config
    assert config is not None
    assert (config.cmd, config.env, config.user) == (("sh", "-c", "x"), {"A": "1"}, "5")


# --- files that a spec must not be able to read ---


def test_a_fifo_a_device_a_folder_and_a_huge_file_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    write(tmp_path, {"huge.yaml": "a: 1\n" * (10 << 18), "trueup.d/x": ""})
    start = time.process_time()
    assert "is not a regular file" in problems(tmp_path / "fifo.yaml")
    assert "is not a regular file" in problems(Path("/dev/zero"))
    assert "is larger than 1 MiB" in problems(tmp_path / "huge.yaml")
    (tmp_path / "trueup.d/x.yaml").mkdir()
    write(tmp_path, {"trueup.yaml": HELLO})
    assert "trueup.d/x.yaml: the file is not a regular file" in problems(tmp_path)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "written", ["../out.env", "/etc/hostname", "link.env", "sub/../../out.env", "dirlink/out.env"]
)
def test_an_environment_file_outside_of_the_project_is_refused(
    tmp_path: Path, written: str
) -> None:
    write(tmp_path, {"out.env": "A=1", "p/trueup.yaml": HELLO, "p/sub/x": ""})
    (tmp_path / "p/link.env").symlink_to("../out.env")
    (tmp_path / "p/dirlink").symlink_to("..")
    with pytest.raises(SpecErrors, match="outside of the project's folder"):
        container(tmp_path / "p", f"env_file: {written}")


def test_other_environment_files_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "latin1.env").write_bytes(b"A=1\nB=\xe9\n")
    write(tmp_path, {"huge.env": "A=1\n" * (1 << 19), "bad.env": "A=1\nwhat is this\nB='open\n"})
    text = "containers: {c: {image: x, env_file: [fifo, latin1.env, huge.env, no.env, bad.env]}}\n"
    write(tmp_path, {"trueup.yaml": text})
    told = [line for line in problems(tmp_path).splitlines() if line[:1] not in ("", " ")]
    assert told == [
        "trueup.yaml:1:39: container `c`: `fifo` is not a regular file",
        "trueup.yaml:1:45: container `c`: `latin1.env` is not UTF-8 here (line 2)",
        "trueup.yaml:1:57: container `c`: `huge.env` is larger than 1 MiB",
        "trueup.yaml:1:67: container `c`: `no.env` does not exist",
        "bad.env:2:1: this line is not `NAME=value`",
        "bad.env:3:1: the value of `B` has a quote that is not closed",
    ]


def test_text_that_is_not_utf_8_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "trueup.yaml").write_bytes(b"a: 1\nb: \xff\n")
    assert problems(tmp_path).startswith("trueup.yaml:2:4: the file is not UTF-8 here")
    (tmp_path / "trueup.yaml").write_bytes(HELLO.encode("utf-16"))
    assert "is not UTF-8 here" in problems(tmp_path)


def test_a_byte_order_mark_and_foreign_line_ends_are_taken(tmp_path: Path) -> None:
    text = "\ufeff" + HELLO.replace("\n", "\r\n") + "volumes: {v: }\r\n"
    (tmp_path / "trueup.yaml").write_text(text, newline="")
    assert list(load(tmp_path, {}).project.volumes) == ["v"]


FLOODS = {
    "unknown top-level keys": "\n".join(f"contaners{n}: 1" for n in range(20_000)),
    "unknown keys": "containers:\n  web:\n" + "\n".join(f"    imag{n}: 1" for n in range(20_000)),
    "containers": "containers:\n" + "\n".join(f"  c{n}: {{imag: x}}" for n in range(20_000)),
    "ports": "containers: {c: {image: x, ports: [" + "x:y," * 30_000 + "]}}",
    "environment": "containers: {c: {image: x, environment: [" + "=x," * 30_000 + "]}}",
    "capabilities": "containers: {c: {image: x, cap_add: [" + "NET_ADMN," * 30_000 + "]}}",
    "volumes": "containers: {c: {image: x, volumes: ["
    + ",".join(f"vol{n}:/v{n}" for n in range(20_000))
    + "]}}",
    "dependencies": "containers: {c: {image: x, depends_on: ["
    + ",".join(f"d{n}" for n in range(20_000))
    + "]}}",
    "conditions": "containers: {c: {image: x, depends_on: {"
    + ",".join(f"d{n}: healty" for n in range(20_000))
    + "}}}",
    "equal targets": "volumes: {v: }\ncontainers: {c: {image: x, volumes: ["
    + "v:/v," * 20_000
    + "]}}",
    "clashing ports": "containers: {c: {image: x, ports: [" + "'80:80'," * 5_000 + "]}}",
    "equal keys": "containers:\n" + "  c: {image: x}\n" * 20_000,
    "one long line": "containers: {c: {image: '" + "passwd=" * 100_000 + "'}}",
    "variables": "containers: {c: {image: x, command: ["
    + "'${',".replace(",", ", ") * 20_000
    + "]}}",
    "an open variable": "containers: {c: {image: '" + "${A:-" * 150_000 + "'}}",
    "a chain": "containers:\n"
    + "\n".join(f"  c{n}: {{image: x, depends_on: [c{n + 1}]}}" for n in range(10_000)),
    "one large circle": "containers:\n"
    + "\n".join(f"  c{n}: {{image: x, depends_on: [c{(n + 1) % 5_000}]}}" for n in range(5_000)),
    "circles": "containers:\n"
    + "\n".join(f"  c{n}: {{image: x, depends_on: [c{n ^ 1}]}}" for n in range(10_000)),
}


@pytest.mark.parametrize("case", FLOODS)
def test_a_flood_of_faults_is_answered_soon_and_briefly(tmp_path: Path, case: str) -> None:
    write(tmp_path, {"trueup.yaml": FLOODS[case]})
    start = time.process_time()
    with pytest.raises(SpecErrors) as caught:
        load(tmp_path, {})
    assert time.process_time() - start < 3
    assert len(caught.value.problems) <= 101
    assert len(str(caught.value)) < 200_000


def test_fifty_containers_load_in_60_ms(tmp_path: Path) -> None:
    lines = [
        "x-base: &base {restart: unless-stopped, mem_limit: 64m}",
        "volumes: {data: }",
        "containers:",
    ]
    for n in range(50):
        lines += [
            f"  c{n}:",
            "    <<: *base",
            "    image: ${REGISTRY:-docker.io/library}/nginx:1.27",
            f"    ports: ['{8000 + n}:80', '127.0.0.1::443']",
            "    environment: {A: 1, B: two, C: $HOME}",
            "    volumes: ['data:/data', '/etc/hosts:/hosts:ro']",
            f"    depends_on: [c{n - 1}]" if n else "    labels: {first: yes}",
        ]
    loaded(tmp_path, "\n".join(lines), {"HOME": "/root"})
    times = []
    for _ in range(5):
        start = time.process_time()
        load(tmp_path, {"HOME": "/root"})
        times.append(time.process_time() - start)
    assert min(times) < 0.060


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("project: shop\ncontainers: {}\n", "shop"),
        ("containers: {}\n", "my-folder"),
        ("project: ${NAME}\n", None),
        ("project: [shop]\n", None),
        ("project: Shop\n", None),
        ("project: shop\n  broken\n", None),
    ],
)
def test_the_name_is_known_without_loading_only_where_it_stands_plainly(
    tmp_path: Path, text: str, name: str | None
) -> None:
    folder = tmp_path / "My Folder"
    folder.mkdir()
    (folder / "trueup.yaml").write_text(text)
    assert project_name(folder) == name
