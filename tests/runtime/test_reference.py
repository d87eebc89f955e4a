"""Image names: Docker's rules, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.reference import BadReference, Reference, parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "complete", "short"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("grafana/grafana", "docker.io/grafana/grafana:latest", "grafana/grafana:latest"),
        ("quay.io/team/app:v1", "quay.io/team/app:v1", "quay.io/team/app:v1"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
        ("127.0.0.1:5000/a/b:x", "127.0.0.1:5000/a/b:x", "127.0.0.1:5000/a/b:x"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        ("localhost:65535/app", "localhost:65535/app:latest", "localhost:65535/app:latest"),
        (f"{'a' * 63}.lab/app", f"{'a' * 63}.lab/app:latest", f"{'a' * 63}.lab/app:latest"),
        ("[FD00::1]/app", "[FD00::1]/app:latest", "[FD00::1]/app:latest"),
        ("HOST/app", "HOST/app:latest", "HOST/app:latest"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest", "a__b/c-d.e:latest"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", f"nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}", f"nginx:1@{DIGEST}"),
    ],
)
def test_a_name_is_completed_and_shortened(text: str, complete: str, short: str) -> None:
    found = parse(text)
    assert (str(found), found.familiar) == (complete, short)
    assert parse(complete) == parse(short) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "/",
        "nginx:",
        "Nginx",
        "nginx/",
        "/nginx",
        "a//b",
        "../etc/passwd",
        "registry.example/../x",
        "nginx:a/b",
        "nginx:-x",
        f"nginx:{'x' * 129}",
        "a" * 256,
        "nginx@",
        "nginx@sha256:abc",
        "nginx@sha256:../../../etc/passwd",
        "nginx@md5:" + "0" * 32,
        f"nginx@{DIGEST.upper()}",
        f"nginx@{DIGEST}0",
        "0123456789abcdef" * 4,
        "http://registry.example/app",
        "user@host/app",
        "host:port/app",
        "host:123456/app",
        "localhost:99999/a",
        "localhost:65536/a",
        "localhost:0/a",
        "[:::::]:5000/a",
        "[:::::]/a",
        "[1:2]/a",
        f"{'a' * 64}.example/a",
        f"example.{'a' * 64}:5000/a",
        "ex_ample.com/app",
        "nginx\n",
        "nginx:1\n",
        " nginx",
        "nginx latest",
        "näme",
        "-x",
        "a..b",
        "a___b",
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(BadReference) as refused:
        parse(text)
    assert refused.value.hint


def test_capital_letters_get_advice() -> None:
    with pytest.raises(BadReference, match="write 'library/nginx'"):
        parse("Nginx")


def test_the_version_asked_for_is_the_digest_before_the_tag() -> None:
    assert parse("nginx:1").version == "1"
    assert parse(f"nginx:1@{DIGEST}").version == DIGEST


parts = st.text(alphabet="abc019", min_size=1, max_size=8)


@given(
    st.sampled_from(["docker.io", "quay.io", "127.0.0.1:5000", "localhost"]),
    st.lists(parts, min_size=1, max_size=3),
    st.text(alphabet="aZ0_", min_size=1, max_size=20),
)
def test_what_is_written_is_read_again(host: str, path: list[str], tag: str) -> None:
    repository = "/".join(path)
    if host == "docker.io" and len(path) == 1:
        repository = f"library/{repository}"
    reference = Reference(host=host, repository=repository, tag=tag)
    assert parse(str(reference)) == parse(reference.familiar) == reference
