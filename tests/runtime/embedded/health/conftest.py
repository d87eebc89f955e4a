"""Containers with a health check."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from runtime.api import ContainerKey, ContainerSpec, Healthcheck, RestartPolicy
from runtime.embedded.execution import Execution
from runtime.embedded.health.checks import Checks
from runtime.embedded.ledger import ContainerRow
from tests.runtime.embedded.boxes import PROJECT, Box, Boxes, make_boxes


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    with make_boxes() as made:
        yield made


class Patient:
    """A container that runs, and whose health is asked."""

    def __init__(self, box: Box, check: Healthcheck | None, restart: RestartPolicy) -> None:
        self.box = box
        boxes = box.boxes
        layout = boxes.supervisor.layout
        execution = Execution(paths=boxes.paths, supervisor=boxes.supervisor, layout=layout)
        self.checks = Checks(
            paths=boxes.paths, supervisor=boxes.supervisor, execution=execution, layout=layout
        )
        spec = ContainerSpec(image="busybox", healthcheck=check, restart=restart)
        key = ContainerKey(project=PROJECT, name="web")
        self.row = cast("ContainerRow", SimpleNamespace(id=box.id, key=key, spec=spec))
        self.pid = box.launch(restart).pid


Admit = Callable[..., Patient]


@pytest.fixture
def admit(boxes: Boxes) -> Admit:
    """`admit(script, test=…, interval=…)`: a container with this first process."""

    def admit(
        script: str = "sleep 1000", restart: RestartPolicy | None = None, **check: object
    ) -> Patient:
        asked = Healthcheck(**check) if check else None  # type: ignore[arg-type]
        box = boxes.box("sh", "-c", f"trap exit TERM; {script} & wait $!")
        return Patient(box, asked, restart or RestartPolicy())

    return admit
