"""The OCI configuration: what a container may, and what is mounted where."""

import json
from typing import Any

import pytest

from runtime.api import Limits
from runtime.embedded.bundle import config
from runtime.embedded.bundle.config import Bind, BundleInput, MountRefused, Namespaces, Tmpfs


def wanted(**changes: Any) -> BundleInput:
    fields: dict[str, Any] = {
        "id": "abc",
        "rootfs": "/r",
        "args": ("/bin/web", "-x"),
        "env": ("A=1",),
        "cwd": "/srv",
        "hostname": "web",
        "namespaces": Namespaces(network="/run/netns/abc"),
        "cgroups_path": "trueup/shop/abc",
        "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
        "capabilities": ("CAP_CHOWN",),
        "limits": Limits(),
    }
    return BundleInput(**{**fields, **changes})


def built(**changes: Any) -> Any:
    return json.loads(config.build(wanted(**changes)))


def targets(document: Any) -> list[str]:
    return [mount["destination"] for mount in document["mounts"]]


def test_the_process_gains_nothing() -> None:
    process = built(uid=5, gid=6, groups=(7,))["process"]
    assert process["noNewPrivileges"] is True
    assert process["capabilities"] == {
        "bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]
    }  # fmt: skip
    assert process["user"] == {"uid": 5, "gid": 6, "additionalGids": [7]}
    assert (process["args"], process["env"], process["cwd"]) == (
        ["/bin/web", "-x"], ["A=1"], "/srv"
    )  # fmt: skip


def test_swap_is_bound_where_the_kernel_counts_it() -> None:
    limits = Limits(mem_limit=64 << 20)
    bound = built(limits=limits, swap=128 << 20)["linux"]["resources"]["memory"]
    assert bound == {"limit": 64 << 20, "swap": 128 << 20}
    assert built(limits=limits)["linux"]["resources"]["memory"] == {"limit": 64 << 20}


def test_limits() -> None:
    limits = Limits(mem_limit=64 << 20, cpus=0.5, pids_limit=7)
    resources = built(limits=limits)["linux"]["resources"]
    assert resources["memory"] == {"limit": 64 << 20}
    assert resources["cpu"] == {"quota": 50_000, "period": 100_000}
    assert resources["pids"] == {"limit": 7}
    assert built()["linux"]["resources"].keys() == {"devices"}


def test_devices_are_denied_first() -> None:
    devices = built()["linux"]["resources"]["devices"]
    assert devices[0] == {"allow": False, "access": "rwm"}
    assert all(device["allow"] for device in devices[1:])


def test_namespaces() -> None:
    linux = built()["linux"]
    kinds = [entry["type"] for entry in linux["namespaces"]]
    assert kinds == ["mount", "pid", "ipc", "uts", "network"]
    assert linux["namespaces"][4]["path"] == "/run/netns/abc"
    assert linux["cgroupsPath"] == "/trueup/shop/abc"


def test_namespaces_of_others_and_of_the_host() -> None:
    shared = Namespaces(network=None, pid="/ns/pid", ipc=None, uts=None, cgroup="")
    document = built(namespaces=shared)
    assert document["linux"]["namespaces"] == [
        {"type": "mount"}, {"type": "pid", "path": "/ns/pid"}, {"type": "cgroup"}
    ]  # fmt: skip
    assert "hostname" not in document  # it would be the host's
    assert document["linux"]["sysctl"] == {}


def test_mounts_go_by_depth_after_ours() -> None:
    mounts = (
        Bind(source="/c", target="/a/b/c"),
        Bind(source="/h", target="/etc/hosts", kind="file", read_only=True),
        Tmpfs(target="/a", size=4096, mode=0o750),
    )
    document = built(mounts=mounts)
    assert targets(document)[-3:] == ["/a", "/etc/hosts", "/a/b/c"]
    tmpfs, file, folder = (mount["options"] for mount in document["mounts"][-3:])
    assert tmpfs == ["nosuid", "nodev", "mode=750", "size=4096"]
    assert file == ["bind", "rprivate", "ro"]
    assert folder == ["rbind", "rprivate", "rw"]


def test_a_users_mount_takes_the_place_of_ours() -> None:
    document = built(mounts=(Tmpfs(target="/dev/shm", size=1 << 20),))
    assert targets(document).count("/dev/shm") == 1


@pytest.mark.parametrize("target", ["/", "/proc", "/dev", "/proc/", "/dev/../proc", "//proc"])
def test_mounts_that_would_open_the_host_are_refused(target: str) -> None:
    with pytest.raises(MountRefused):
        built(mounts=(Bind(source="/x", target=target),))


def test_equal_inputs_give_equal_bytes() -> None:
    assert config.build(wanted()) == config.build(wanted())


def test_rlimits_never_exceed_ours() -> None:
    few = config.default_rlimits({"NOFILE": 20_000, "NPROC": 100})
    assert [(r.name, r.hard) for r in few] == [("NOFILE", 20_000), ("NPROC", 100)]
    many = config.default_rlimits({"NOFILE": -1, "NPROC": -1})
    document = built(rlimits=many)["process"]["rlimits"]
    assert document[0] == {"type": "RLIMIT_NOFILE", "soft": 1_048_576, "hard": 1_048_576}
    assert document[1]["hard"] == (1 << 64) - 1
