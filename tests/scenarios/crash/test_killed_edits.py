"""`apply` killed by SIGKILL while networks, replicas, ports and limits of a project change, and
containers with shared namespaces, health checks and jobs depend on each other: whatever spec is
applied next comes true, and `down` leaves nothing.
"""

import time

import pytest

from tests.scenarios.scene import killed, monitors, residue
from tests.scenarios.stage import Stage

pytestmark = pytest.mark.root

ONE = """\
project: edited
networks: {front: {enable_ipv6: true}, back: {internal: true}}
volumes:
  data: {}
  memory: {driver_opts: {type: tmpfs, device: tmpfs, o: "size=1m,mode=1770"}}
containers:
  db:
    image: $busybox
    command: [sleep, "1000"]
    volumes: ["data:/d", "memory:/m"]
    stop_signal: SIGKILL
    ipc: shareable
    networks: [back]
    healthcheck: {test: [CMD, "true"], interval: 200ms}
  web:
    image: $busybox
    networks: [front, back]
    scale: 2
    stop_signal: SIGKILL
    ports: ["18080:80", "18100-18110:18100-18110/udp"]
    depends_on: {db: {condition: service_healthy}}
  side:
    image: $busybox
    command: [sleep, "1000"]
    network_mode: service:db
    pid: service:db
    ipc: service:db
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
  none: {image: $busybox, command: [sleep, "1000"], network_mode: none, stop_signal: SIGKILL}
  job: {image: $busybox, command: ["true"], networks: [back]}
  after:
    image: $busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    networks: [front]
    depends_on: {job: {condition: service_completed_successfully}}
"""
EDITS = (
    ("front: {enable_ipv6: true}", "front: {ipam: {config: [{subnet: 10.77.0.0/24}]}}"),
    ("back: {internal: true}", "back: {}, third: {}"),
    ("scale: 2", "scale: 3"),
    ("networks: [front, back]", "networks: [back, third]"),
    ("18080:80", "18081:80"),
    ("18100-18110:18100-18110/udp", "18105-18120:18105-18120/udp"),
    ("network_mode: none,", "network_mode: none, mem_limit: 64m,"),
    ("    networks: [back]\n", "    networks: {back: {aliases: [store]}, third: {}}\n"),
    ("  job: {", "  task: {"),
    ("{job: {", "{task: {"),
)


def other() -> str:
    text = ONE
    for old, new in EDITS:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "count", [pytest.param(4, marks=pytest.mark.slow), pytest.param(24, marks=pytest.mark.sweep)]
)
def test_killed_while_much_changes(stage: Stage, count: int) -> None:
    specs = {ONE: 6, other(): 7}  # with the number of monitors
    stage.make(ONE)
    began = time.monotonic()
    stage.make(other())
    whole = time.monotonic() - began
    for number in range(count):
        # Half of the rounds go on with the same spec, half go back.
        begun, wanted = (list(specs)[at % 2] for at in (number, number + number // 2))
        stage.write(begun)
        part = whole * (number * 7 % count + 0.5) / count
        killed(stage.trueup.start("apply", stage.spec), part)
        stage.make(wanted)
        assert stage.pending() == "", f"killed after {part} s"
        assert len(monitors(stage)) == specs[wanted]
    stage.down()
    assert residue(stage) == ""
