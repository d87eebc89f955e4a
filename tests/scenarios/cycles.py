"""A program: `cycles.py ROOT IMAGE COUNT` lets a container come and go so often, on the engine
itself, and says how many descriptors of its own it had before and after.

Every other container is killed instead of stopped, and every third is replaced by its next
generation while it serves.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

from runtime.api import ContainerKey, ContainerSpec, PortSpec, ServiceSpec, TmpfsMount, container_id
from runtime.embedded.engine import Engine
from runtime.embedded.paths import Paths

KEY = ContainerKey(project="cycles", name="goes")
SERVICE = ServiceSpec(
    project="cycles",
    name="goes",
    ports=(
        PortSpec(container_port=80, host_port=18081),
        PortSpec(container_port=53, host_port=18053, protocol="udp"),
    ),
)


def come_and_go(engine: Engine, image: str, number: int) -> None:
    spec = ContainerSpec(image=image, mounts=(TmpfsMount(target="/scratch"),), stop_signal="KILL")
    ids = []
    engine.register("cycles", [SERVICE])
    for generation in (number, number + 1) if number % 3 == 0 else (number,):
        engine.create(KEY, generation, spec)
        ids.append(container_id(KEY, generation))
        engine.start(ids[-1])
        engine.await_ready(ids[-1], SERVICE.ports, 10)
        engine.serve("cycles", "goes", ids[-1:])
        visit()
    if number % 2:
        (pid,) = (each.pid for each in engine.containers() if each.id == ids[-1])
        os.kill(pid or 0, signal.SIGKILL)
    engine.unregister("cycles", ["goes"])
    for id in ids:
        engine.stop(id)
        engine.remove(id)


def visit() -> None:
    """Leave flows for the kernel to track, tcp and udp."""
    with socket.create_connection(("127.0.0.1", 18081), 5) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while client.recv(4096):
            pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"?", ("127.0.0.1", 18053))


def main(root: str, image: str, count: str) -> None:
    engine = Engine(Paths.below(Path(root)))
    found = []
    try:
        for number in range(1, 2 * int(count), 2):
            come_and_go(engine, image, number)
            found.append(len(os.listdir("/proc/self/fd")))
    finally:
        engine.close()
    json.dump({"first": found[0], "last": found[-1]}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
