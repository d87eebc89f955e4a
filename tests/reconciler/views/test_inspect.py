"""The documents of ``inspect``: Docker's names, what the spec calls secret left out."""

from reconciler.views.inspect import NEVER, document
from reconciler.views.template import Template
from runtime.api import (
    Attachment,
    BindMount,
    ContainerKey,
    ContainerSpec,
    Health,
    Healthcheck,
    HealthStatus,
    ObservedContainer,
    ObservedService,
    Phase,
    PortSpec,
    PublishedPort,
    RestartKind,
    RestartPolicy,
    ServiceSpec,
    VolumeMount,
)

SPEC = ContainerSpec(
    image="docker.io/library/nginx:1.27",
    environment={"MODE": "live", "PASSWORD": "hunter2"},
    secret_environment=("PASSWORD",),
    labels={"tier": "front"},
    mem_limit=64 << 20,
    cpus=0.5,
    restart=RestartPolicy(kind=RestartKind.ON_FAILURE, max_retries=3),
    mounts=(
        VolumeMount(volume="data", target="/data"),
        BindMount(source="/srv", target="/srv", read_only=True),
    ),
    networks=(Attachment(network="front", aliases=("www",)),),
)
CONTAINER = ObservedContainer(
    key=ContainerKey(project="shop", name="web"),
    id="a" * 64,
    generation=2,
    phase=Phase.RUNNING,
    applied=SPEC,
    image_id="sha256:" + "b" * 64,
    pid=4711,
    created_at=1_700_000_000.0,
    started_at=1_700_000_001.5,
    command=("nginx", "-g", "daemon off;"),
    addresses={"front": "10.201.1.9"},
    interfaces={"front": "eth0"},
    healthcheck=Healthcheck(test=("CMD", "true"), interval=5.0),
    health=Health(
        status=HealthStatus.UNHEALTHY, failing_streak=3, checked_at=1.0, exit_code=1, output="no"
    ),
)
SERVICE = ObservedService(
    applied=ServiceSpec(project="shop", name="web"),
    addresses={"front": "10.201.1.2"},
    ports=(
        PublishedPort(spec=PortSpec(container_port=80, host_port=8080), host_port=8080),
        PublishedPort(
            spec=PortSpec(container_port=9000, host_port=9000, protocol="udp", count=2),
            host_port=9000,
        ),
    ),
    targets=(CONTAINER.id,),
)


def said(template: str, service: ObservedService | None = SERVICE) -> str:
    return Template(template).render(document(CONTAINER, service))


def test_what_scripts_ask_docker_for() -> None:
    assert said("{{.State.Status}} {{.State.Pid}} {{.State.ExitCode}}") == "running 4711 0"
    assert said("{{.State.Health.Status}}") == "unhealthy"
    assert said("{{range .State.Health.Log}}{{.Output}}{{end}}") == "no"
    assert said("{{.Path}} {{join .Args `|`}}") == "nginx -g|daemon off;"
    assert said("{{.Config.Image}} {{.Image}}") == "nginx:1.27 sha256:" + "b" * 64
    assert said("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}") == "10.201.1.9"
    assert said("{{index .Config.Labels `tier`}}") == "front"
    assert said("{{.HostConfig.RestartPolicy.Name}}") == "on-failure"
    assert said("{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}") == "67108864 500000000"
    assert said("{{json .Config.Healthcheck.Interval}}") == "5000000000"
    assert said("{{json .HostConfig.LogConfig.Config}}") == '{"max-file":"1"}'
    assert said("{{range .Mounts}}{{.Type}}:{{.Destination}}:{{.RW}} {{end}}") == (
        "volume:/data:true bind:/srv:false "
    )
    assert said("{{.State.StartedAt}}") == "2023-11-14T22:13:21.500000Z"
    assert said("{{.State.FinishedAt}}") == NEVER


def test_published_ports_are_those_of_the_service_while_it_leads_here() -> None:
    ports = "{{range $p, $where := .NetworkSettings.Ports}}{{$p}}={{json $where}} {{end}}"
    assert said(ports) == (
        '80/tcp=[{"HostIp":"0.0.0.0","HostPort":"8080"}] '
        '9000/udp=[{"HostIp":"0.0.0.0","HostPort":"9000"}] '
        '9001/udp=[{"HostIp":"0.0.0.0","HostPort":"9001"}] '
    )
    assert said(ports, None) == ""


def test_secret_values_are_left_out() -> None:
    text = str(document(CONTAINER, SERVICE))
    assert "MODE=live" in text
    assert "PASSWORD=(hidden)" in text
    assert "hunter2" not in text
