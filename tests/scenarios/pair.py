"""examples/pair as a scenario: nginx in front of a Python program that it finds by name and that
counts its visitors in a volume."""

import re
import shutil
from pathlib import Path

from tests.eventually import eventually
from tests.scenarios.stage import Stage, answer

EXAMPLE = Path(__file__).parents[2] / "examples/pair"
PAIR = """
project: pair
images:
  web: {from: $nginx}
  app: {from: $python}
volumes:
  visits: {}
containers:
  web:
    image: web
    ports: ["8080:80"]
    volumes: ["./nginx.conf:/etc/nginx/conf.d/default.conf:ro"]
    depends_on: [app]
    restart: unless-stopped
  app:
    image: app
    command: [python3, /srv/app.py]
    volumes: ["./app.py:/srv/app.py:ro", "visits:/data"]
    mem_limit: 64m
    restart: "no"
"""


def write(stage: Stage) -> None:
    """The spec and the files that it mounts."""
    for file in ("nginx.conf", "app.py"):
        shutil.copy(EXAMPLE / file, stage.folder)
    stage.write(PAIR)


def visit(stage: Stage) -> int:
    """The number that the page tells its visitor, once it answers."""
    pages: list[str] = []

    def answered() -> bool:
        pages.append(answer(stage.host, "127.0.0.1", 8080))
        return "visitor" in pages[-1]

    try:
        eventually(answered)
    except AssertionError as late:
        raise AssertionError(f"the page does not answer: {pages[-1]}") from late
    (number,) = re.findall(r"visitor (\d+)", pages[-1])
    return int(number)
