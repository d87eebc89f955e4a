"""`logs` of a container that writes much, while `watch` keeps the project."""

import subprocess

import pytest

from tests.conftest import COMMAND
from tests.eventually import eventually
from tests.scenarios.stage import Stage
from tests.scenarios.test_watch import watching

pytestmark = pytest.mark.root

LINES = 150_000  # 7.8 MB as conmon writes them
# Much at once, and no two files' worth while the keeper of logs wakes up: more it does not promise.
TALK = (
    "until [ -e /go ]; do sleep 0.05; done; n=0;"
    f" while [ $$n -lt {LINES} ]; do seq $$((n+1)) $$((n+10000)); n=$$((n+10000)); sleep .05; done;"
    " sleep 1; echo end"
)
SPEC = f"""\
project: watched
containers:
  web:
    image: $busybox
    ports: ["18080:80"]
    stop_signal: SIGKILL
  talker:
    image: $busybox
    command: [sh, -c, "{TALK}"]
    restart: "no"
    stop_signal: SIGKILL
    logging: {{driver: json-file, options: {{max-size: 1m, max-file: "9"}}}}
"""


def test_logs_are_whole_over_rotations(stage: Stage) -> None:
    stage.write(SPEC)
    whole = [*map(str, range(1, LINES + 1)), "end"]
    with watching(stage):
        follow = [COMMAND, "--root", stage.trueup.root, "logs", "-f", "talker"]
        command = [str(word) for word in (*stage.host.within, *follow)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
            stage.trueup("exec", "talker", "touch", "/go")
            followed = following.communicate(timeout=60)[0]
        assert followed.split() == whole
        assert stage.trueup("logs", "talker").stdout.split() == whole
        tail = stage.trueup("logs", "--tail", "100000", "talker").stdout.split()
        assert tail == whole[-100_000:]
        (folder,) = (stage.trueup.root / "lib/containers").glob("*/log.1")
        eventually(lambda: (folder.with_name("log")).stat().st_size <= 1 << 20, 2)
