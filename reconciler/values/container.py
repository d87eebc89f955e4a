"""A container of the spec as what a generation of it shall be."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.values.mounts import mounts
from reconciler.values.networks import attachments
from reconciler.values.texts import text, texts, words
from runtime.api import (
    DEFAULT_PIDS_LIMIT,
    Condition,
    ContainerSpec,
    Dependency,
    Device,
    Healthcheck,
    Logging,
    OnFailure,
    RestartKind,
    RestartPolicy,
    SecurityOptions,
    Ulimit,
    UpdateOrder,
    UpdatePolicy,
)

if TYPE_CHECKING:
    from reconciler.values.names import Names
    from specs.model.container import Container
    from specs.model.deploy import ResourceLimits

_PERIOD = 100_000  # the kernel's own, in microseconds
_NO_CHECK = ("NONE",)


def container_spec(container: "Container", names: "Names") -> ContainerSpec:
    """What each replica shall be."""
    limits = container.deploy.resources.limits if container.deploy else None
    return ContainerSpec(
        image=names.images[str(container.image)],
        entrypoint=None if container.entrypoint is None else words(container.entrypoint),
        command=None if container.command is None else words(container.command),
        environment=texts(container.environment),
        secret_environment=tuple(sorted(map(str, container.secret_environment))),
        user=text(container.user),
        group_add=words(container.group_add),
        working_dir=text(container.working_dir),
        hostname=text(container.hostname),
        domainname=text(container.domainname),
        container_name=text(container.container_name),
        labels=texts(container.labels),
        annotations=texts(container.annotations),
        platform=text(container.platform),
        runtime=text(container.runtime),
        init=container.init,
        tty=container.tty,
        stdin_open=container.stdin_open,
        mem_limit=container.mem_limit or (limits.memory if limits else None),
        memswap_limit=container.memswap_limit or None,
        mem_reservation=_reservation(container),
        cpus=_cpus(container, limits),
        cpu_shares=container.cpu_shares,
        cpuset=text(container.cpuset),
        pids_limit=_pids_limit(container, limits),
        oom_score_adj=container.oom_score_adj,
        ulimits=_ulimits(container),
        shm_size=container.shm_size,
        sysctls=texts(container.sysctls),
        restart=_restart(container),
        stop_signal=text(container.stop_signal),
        stop_grace_period=float(container.stop_grace_period),
        healthcheck=_healthcheck(container),
        logging=_logging(container),
        update=_update(container),
        read_only=container.read_only,
        privileged=container.privileged,
        cap_add=words(container.cap_add),
        cap_drop=words(container.cap_drop),
        security=_security(container),
        userns_mode=str(container.userns_mode),
        cgroup=str(container.cgroup),
        pid=names.mode(container.pid),
        ipc=names.mode(container.ipc),
        uts=str(container.uts),
        devices=_devices(container),
        device_cgroup_rules=words(container.device_cgroup_rules),
        depends_on=_depends_on(container, names),
        mounts=mounts(container, names),
        expose=tuple(sorted(set(words(container.expose)))),
        network_mode=names.mode(container.network_mode),
        networks=attachments(container),
        mac_address=text(container.mac_address),
        extra_hosts=tuple((str(name), str(address)) for name, address in container.extra_hosts),
        dns=words(container.dns),
        dns_search=words(container.dns_search),
        dns_opt=words(container.dns_opt),
    )


# --- limits -------------------------------------------------------------------------------------


def _reservation(container: "Container") -> int | None:
    deploy = container.deploy
    reserved = deploy.resources.reservations.memory if deploy else None
    return container.mem_reservation or reserved or None


def _cpus(container: "Container", limits: "ResourceLimits | None") -> float | None:
    """`cpus`, however it is written: a quota of 50 ms in 100 ms is half a processor."""
    if container.cpus is not None:
        return container.cpus
    if container.cpu_quota is not None and container.cpu_quota > 0:
        return round(container.cpu_quota / (container.cpu_period or _PERIOD), 6)
    return limits.cpus if limits else None


def _pids_limit(container: "Container", limits: "ResourceLimits | None") -> int:
    said = (container.pids_limit, limits.pids if limits else None)
    return next((each for each in said if each is not None), DEFAULT_PIDS_LIMIT)


def _ulimits(container: "Container") -> tuple[Ulimit, ...]:
    return tuple(
        Ulimit(name=str(name), soft=each.soft, hard=each.hard)
        for name, each in sorted(container.ulimits.items())
    )


# --- its life -----------------------------------------------------------------------------------


def _restart(container: "Container") -> RestartPolicy:
    """What `deploy` says goes before `restart`, as in Compose."""
    deployed = container.deploy.restart_policy if container.deploy else None
    policy = deployed.policy if deployed else container.restart
    return RestartPolicy(kind=RestartKind(policy.kind.value), max_retries=policy.max_retries)


def _healthcheck(container: "Container") -> Healthcheck | None:
    check = container.healthcheck
    if check is None:
        return None
    if check.disabled:
        return Healthcheck(test=_NO_CHECK)
    usual = Healthcheck()
    return Healthcheck(
        test=words(check.test or ()),
        interval=check.interval or usual.interval,
        timeout=check.timeout or usual.timeout,
        retries=check.retries or usual.retries,
        start_period=check.start_period,
        start_interval=check.start_interval or usual.start_interval,
    )


def _logging(container: "Container") -> Logging:
    said = container.logging
    if said is None:
        return Logging()
    options = said.options
    return Logging(driver=said.driver.value, max_size=options.max_size, max_file=options.max_file)


def _update(container: "Container") -> UpdatePolicy:
    """`update`, or what `deploy.update_config` says in its place."""
    said = container.update
    if said is not None:
        return UpdatePolicy(
            order=None if said.order is None else UpdateOrder(said.order.value),
            parallelism=said.parallelism,
            healthy_within=said.healthy_within,
            on_failure=OnFailure(said.on_failure.value),
        )
    deployed = container.deploy.update_config if container.deploy else None
    if deployed is None:
        return UpdatePolicy()
    return UpdatePolicy(
        order=None if deployed.order is None else UpdateOrder(deployed.order.value),
        parallelism=deployed.parallelism,
        on_failure=OnFailure(deployed.on_failure.value),
    )


def _depends_on(container: "Container", names: "Names") -> tuple[Dependency, ...]:
    """What it waits for, those included whose namespaces, mounts or names it shares.

    What need not be there, and is not declared at all, is nothing to wait for.
    """
    said = {
        str(name): Dependency(
            name=str(name),
            condition=Condition(each.condition.value),
            required=each.required,
            restart=each.restart,
        )
        for name, each in container.depends_on.items()
        if name in names.containers
    }
    for name in _implied(container, names):
        said.setdefault(name, Dependency(name=name))
    return tuple(said[name] for name in sorted(said))


def _implied(container: "Container", names: "Names") -> Iterator[str]:
    for mode in (container.network_mode, container.pid, container.ipc):
        prefix, _, name = names.mode(mode).partition(":")
        if prefix == "service":
            yield name
    for name, _ in (*container.links, *container.volumes_from):
        yield names.container(name)


# --- rights -------------------------------------------------------------------------------------


def _security(container: "Container") -> SecurityOptions:
    said = container.security_opt
    return SecurityOptions(
        no_new_privileges=said.no_new_privileges,
        seccomp=text(said.seccomp),
        apparmor=text(said.apparmor),
        label=words(said.label),
        unmask=said.unmask,
    )


def _devices(container: "Container") -> tuple[Device, ...]:
    devices = (
        Device(source=str(each.source), target=str(each.target), permissions=each.permissions)
        for each in container.devices
    )
    return tuple(sorted(devices, key=lambda device: device.target))
