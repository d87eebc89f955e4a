"""Whatever is written, `load` answers with a project or with problems that have their places."""

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specs.load import load
from specs.model.container import Container
from specs.model.image import Image
from specs.model.project import Project
from specs.model.registry import Registry
from specs.problems import SpecErrors

KEYS = sorted(
    {
        *Project.yaml_keys(), *Container.yaml_keys(), *Image.yaml_keys(), *Registry.yaml_keys(),
        "default", "web", "name", "directory", "files", "target", "type", "source", "condition",
        "x-y", "", "secret_environment", "username", "password", "<<", "aliases", "ipv4_address",
        "subnet", "ipam", "config", "external", "driver", "options", "max-size", "test", "interval",
        "resources", "limits", "restart_policy", "update_config", "soft", "hard", "bind", "volume",
        "propagation", "subpath", "nofile", "net.x",
    }
)  # fmt: skip
WORDS = st.sampled_from(
    ["", "x", "8080:80", "a:/b", "/t", "1-9", "on-failure:3", "512m", "10s", "${U}", "${U:?m}", "$",
     "volume", "bind", "tmpfs", "web", "service:web", "container:web", "host", "10.3.0.0/24",
     "10.3.0.5", "fd00::/64", "web:ro", "web:10.3.0.9", "CMD", "/dev/x:/dev/y:r", "label:x", "0-3",
     "d:/", "\u202e", "\x1b", "\0", "~", "NET_ADMIN"]
)  # fmt: skip
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-2, 70_000), st.floats(), WORDS, st.text())


def nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from(KEYS)
    return st.one_of(st.lists(children, max_size=4), st.dictionaries(keys, children, max_size=5))


TREES = st.recursive(LEAVES, nested, max_leaves=25)
SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "containers": st.dictionaries(st.sampled_from(KEYS), st.one_of(
            TREES, st.dictionaries(st.sampled_from(sorted(Container.yaml_keys())), TREES)
        ), max_size=3),
        "images": TREES, "volumes": TREES, "networks": TREES, "registries": TREES,
    },
)  # fmt: skip


def answer(folder: Path) -> Project | None:
    """The project, or None once every problem has been seen to be one that can be shown."""
    try:
        return load(folder, {"HOME": "/root"}).project
    except SpecErrors as errors:
        found = errors
    assert found.problems
    assert all(problem.span is not None for problem in found.problems)
    assert all(char == "\n" or char.isprintable() for char in str(found))
    return None


COMMON = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@COMMON
@given(tree=st.one_of(TREES, SECTIONS))
def test_any_tree(tmp_path: Path, tree: Any) -> None:
    (tmp_path / "trueup.yaml").write_text(json.dumps(tree))
    answer(tmp_path)


@COMMON
@given(
    text=st.text(alphabet=st.sampled_from("ab:-[]{}'\"#&*!|>%@`,? \n\t$~\x85\u2028é"), max_size=80)
)
def test_any_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "trueup.yaml").write_text("containers:\n" + text, newline="")
    answer(tmp_path)


@COMMON
@given(data=st.binary(max_size=60))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "trueup.yaml").write_bytes(data)
    answer(tmp_path)
