"""The rows of ``images``."""

from reconciler.views.images import rows
from runtime.api import ImageSummary

ID = "sha256:" + "ab" * 32
DIGEST = "sha256:" + "cd" * 32


def test_a_row_for_each_name_with_its_digest_beside_the_tag() -> None:
    image = ImageSummary(
        id=ID,
        references=(
            "docker.io/library/nginx:1.27",
            f"docker.io/library/nginx@{DIGEST}",
            "127.0.0.1:5000/team/web:2",
        ),
        created=0.0,
        size=187_000_000,
    )
    shown = [
        (row["Repository"], row["Tag"], row["Digest"], row["ID"], row["Size"])
        for row in rows([image], now=10.0, full=False)
    ]
    assert shown == [
        ("127.0.0.1:5000/team/web", "2", "<none>", "abababababab", "187MB"),
        ("nginx", "1.27", DIGEST, "abababababab", "187MB"),
    ]


def test_a_tag_beside_a_digest_is_told_as_none_since_it_names_nothing_by_itself() -> None:
    references = (f"r.example/a:1@{DIGEST}", f"r.example/a@{DIGEST}")
    shown = rows([ImageSummary(id=ID, references=references)], now=10.0, full=True)
    assert [(row["Repository"], row["Tag"], row["Digest"]) for row in shown] == [
        ("r.example/a", "<none>", DIGEST)
    ]


def test_an_image_without_a_name_and_one_known_by_digest_alone() -> None:
    nameless = ImageSummary(id=ID, created=5.0)
    digest = ImageSummary(id=ID, references=(f"r.example/a@{DIGEST}",), created=9.0)
    shown = [
        (row["Repository"], row["Tag"], row["Digest"], row["CreatedSince"])
        for row in rows([nameless, digest], now=10.0, full=True)
    ]
    assert shown == [
        ("r.example/a", "<none>", DIGEST, "1 second ago"),
        ("<none>", "<none>", "<none>", "5 seconds ago"),
    ]


def test_an_image_of_a_file_is_called_as_its_project_calls_it() -> None:
    image = ImageSummary(id=ID, names=("base@blog", "site@shop"))
    shown = [(row["Repository"], row["Tag"]) for row in rows([image], now=1.0, full=False)]
    assert shown == [("base (blog)", "<none>"), ("site (shop)", "<none>")]
