"""Where the spec says what holds, also where it stands under another key."""

from pathlib import Path

import pytest

from tests.reconciler.reading import read

TEXT = """\
    volumes: {v: }
    containers:
      web:
        image: nginx
        deploy:
          replicas: 2
          resources:
            limits:
              memory: 64m
          restart_policy:
            condition: any
        security_opt: [no-new-privileges]
        volumes_from: [db]
        cpu_quota: 50000
        restart: always
        labels: {a: b}
      db:
        image: mysql
        mem_limit: 64m
        volumes: ["v:/v"]
"""


@pytest.mark.parametrize(
    ("name", "field", "line"),
    [
        ("web", "", 3),
        ("web", "mem_limit", 9),
        ("web", "replicas", 6),
        ("web", "restart", 10),
        ("web", "security", 12),
        ("web", "mounts", 13),
        ("web", "cpus", 14),
        ("web", "labels.a", 16),
        ("web", "hostname", 3),
        ("db", "mem_limit", 19),
        ("db", "mounts", 20),
    ],
)
def test_a_field_stands_at(tmp_path: Path, name: str, field: str, line: int) -> None:
    place = read(tmp_path, TEXT).place("container", name, field)
    assert place.endswith(f"trueup.yaml:{line}")
