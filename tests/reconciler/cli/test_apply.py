"""apply, plan, status and down as a person sees them."""

import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from reconciler.records.writer_lock import project_lock
from runtime.api import ImageSpec, LogLine, RegistryAccess, Report
from runtime.backends import instance, prepare
from runtime.errors import Fault
from tests.reconciler.cli.conftest import World

PLAN = """\
  + network default
  + volume data
  + image mysql:8.4  not here yet
  + image nginx:1.27  not here yet
  + container db
  + container web

6 to create, 0 to change, 0 to replace, 0 to remove
"""


def _without_times(text: str) -> str:
    return re.sub(r"\d+\.\d\ds", "0.00s", text)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_the_first_apply_shows_the_plan_then_each_step(world: World) -> None:
    ran = world.run("apply")
    assert (ran.code, ran.err) == (0, "")
    head, _, steps = _without_times(ran.out).partition(PLAN)
    assert head == ""
    assert sorted(steps.splitlines()) == [
        "",
        "create network default  0.00s",
        "create volume data  0.00s",
        "pull image mysql:8.4  0.00s",
        "pull image nginx:1.27  0.00s",
        "shop: 6 changes made in 0.00s",
        "start container db  0.00s",
        "start container web  0.00s",
    ]


def test_the_second_apply_says_nothing_to_change_and_writes_no_file(world: World) -> None:
    world.run("apply")
    before = _files(world.root)
    world.runtime.effects.clear()
    ran = world.run("apply")
    assert (ran.code, ran.out, ran.err) == (0, "nothing to change\n", "")
    assert _files(world.root) == before
    assert world.runtime.effects == []


def test_plan_answers_by_its_exit_status_and_changes_nothing(world: World) -> None:
    ran = world.run("plan")
    assert (ran.code, ran.out) == (2, PLAN)
    assert world.runtime.effects == []
    assert not world.root.exists()
    world.run("apply")
    assert world.run("plan").code == 0


def test_plan_as_json_hides_secrets(world: World) -> None:
    (world.folder / "env").write_text("TOKEN=hush\n")
    world.spec.write_text("containers: {web: {image: nginx, env_file: env}}\n")
    ran = world.run("plan", "--format", "json")
    assert ran.code == 2
    assert "hush" not in ran.out
    assert json.loads(ran.out)["project"] == "spec"


def test_a_dry_run_shows_the_plan_and_does_nothing(world: World) -> None:
    ran = world.run("apply", "--dry-run")
    assert (ran.code, ran.out) == (0, PLAN)
    assert world.runtime.effects == []


def test_steps_tell_what_goes_and_what_is_only_changed(world: World) -> None:
    world.run("apply")
    text = world.spec.read_text().replace("nginx:1.27", "nginx:1.28")
    world.spec.write_text(f"{text}networks: {{default: {{labels: {{a: b}}}}}}\n")
    told = _without_times(world.run("apply").out).splitlines()
    assert "update network default  0.00s" in told
    assert "remove container web, an older generation  0.00s" in told


def test_only_applies_a_container_and_what_it_needs(world: World) -> None:
    assert world.run("apply", "--only", "db").code == 0
    assert [each.key.name for each in world.runtime.containers()] == ["db"]
    ran = world.run("apply", "--only", "dbb")
    assert (ran.code, ran.err) == (
        64,
        "the spec of shop has no container dbb\n  its containers: db, web\n",
    )
    world.spec.write_text(world.spec.read_text().replace("  db:", "  sql:").replace("[db]", "[]"))
    ran = world.run("plan", "--only", "db")
    assert ran.code == 64
    assert "db is still here; `trueup apply` without --only removes it\n" in ran.err


def test_a_failed_container_is_told_with_cause_next_step_and_its_last_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [LogLine(time="t", stream="stderr", text=b"no \x1b[31mconfig\n")]
    monkeypatch.setattr(world.runtime, "logs", lambda *_words, **_more: iter(said))
    world.run("apply")
    for each in world.runtime.containers():
        if each.key.name == "db":
            world.runtime.exit(each.id, 1)
            fault = Fault("db did not start", why="exit code 1", hint="look into its log")
            world.runtime.faults["start", "db"] = fault
    ran = world.run("apply")
    assert ran.code == 1
    assert _without_times(ran.err) == (
        "start container db failed\n"
        "  db did not start: exit code 1\n"
        "    look into its log\n"
        "  its last words:\n"
        "    | no \\x1b[31mconfig\n"
        "\n"
        "shop: 0 of 1 change made in 0.00s\n"
        "  failed: container db\n"
    )


def test_the_verdict_counts_what_the_plan_showed_and_names_what_waits(world: World) -> None:
    world.runtime.faults["start", "db"] = Fault("db did not start", why="no memory")
    ran = world.run("apply")
    assert ran.code == 1
    assert _without_times(ran.err).endswith(
        "shop: 4 of 6 changes made in 0.00s\n"
        "  failed: container db\n"
        "  not done: container web (waits for container db)\n"
    )


def test_what_forbids_to_begin_is_told_after_the_plan_with_a_next_step(world: World) -> None:
    world.runtime.foreign_ports[None, 8080, "tcp"] = "nginx[812]"
    ran = world.run("apply")
    assert (ran.code, ran.out) == (1, f"{PLAN}\n")
    assert ran.err == (
        "shop: nothing was changed\n"
        "  port 8080/tcp of web (trueup.yaml:10) is held by nginx[812]; stop it, or publish another"
        " port\n"
    )
    report = json.loads(world.run("apply", "--format", "json").out)
    assert (report["ended"], len(report["plan"]["problems"])) == ("refused", 1)
    assert world.runtime.effects == []


def test_the_outcome_as_json(world: World) -> None:
    ran = world.run("apply", "--format", "json")
    report = json.loads(ran.out)
    assert (ran.code, report["failed"], report["skipped"], report["ended"]) == (
        0,
        [],
        [],
        "complete",
    )
    assert len(report["done"]) == len(report["plan"]["steps"])
    again = json.loads(world.run("apply", "--format", "json").out)
    assert (again["done"], again["ended"]) == ([], "complete")


def test_a_second_folder_of_the_same_project_is_refused_without_take_over(
    world: World, tmp_path: Path
) -> None:
    world.run("apply")
    other = tmp_path / "other"
    other.mkdir()
    (other / "trueup.yaml").write_text(world.spec.read_text())
    refused = world.run("apply", str(other))
    assert refused.code == 1
    assert "--take-over" in refused.err
    assert world.run("apply", str(other), "--take-over").code == 0


def test_down_in_a_second_folder_of_the_same_project_is_refused(
    world: World, tmp_path: Path
) -> None:
    world.run("apply")
    other = tmp_path / "other"
    other.mkdir()
    (other / "trueup.yaml").write_text(world.spec.read_text())
    for path in (other, other / "trueup.yaml"):
        refused = world.run("down", str(path), "--volumes", "all")
        assert refused.code == 1
        assert f"project shop is applied from {world.folder}, not from {other}" in refused.err
        assert "`trueup down --project shop`" in refused.err
    assert len(world.runtime.containers()) == 2
    assert list(world.runtime.volumes_made) == [("shop", "data")]
    assert world.run("down", str(other), "--project", "shop").code == 0
    assert world.runtime.containers() == ()


def test_who_renames_a_project_is_told_of_the_old_one(world: World) -> None:
    world.run("apply")
    world.spec.write_text(world.spec.read_text().replace("shop", "store").replace("8080", "81"))
    told = (
        "project shop was applied from this folder and is still here; `trueup down --project"
        " shop` removes it; its volumes are not carried over\n"
    )
    for command in ("plan", "status", "down", "apply"):
        assert told in world.run(command).out, command
    (world.folder / "old.yaml").write_text("project: shop\ncontainers: {}\n")
    assert told not in world.run("plan").out
    (world.folder / "old.yaml").unlink()
    world.run("down", "--project", "shop")
    assert told not in world.run("plan").out


def test_a_broken_spec_is_64_with_every_problem(world: World) -> None:
    world.spec.write_text("containers:\n  web:\n    imgae: nginx\n    ports: [99999]\n")
    ran = world.run("apply")
    assert ran.code == 64
    assert "trueup.yaml:3:5: " in ran.err
    assert "trueup.yaml:4:" in ran.err
    assert world.run("validate").code == 64


def test_validate_counts_what_it_found(world: World) -> None:
    assert world.run("validate").out == "shop: the spec is valid (2 containers)\n"


def test_validate_tells_what_apply_would_refuse(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_CONFIG_DIR", str(tmp_path))
    (tmp_path / "registries.yaml").write_text("search: []")
    for command in ("validate", "apply", "plan"):
        ran = world.run(command)
        assert (ran.code, ran.out) == (64, "")
        assert "`nginx:1.27` names no registry, and short names are off" in ran.err


def test_validate_tells_what_has_no_effect(world: World) -> None:
    world.spec.write_text(
        "project: shop\ncontainers: {web: {image: x, deploy: {endpoint_mode: vip}}}\n"
    )
    ran = world.run("validate")
    assert (ran.code, ran.out) == (0, "shop: the spec is valid (1 container)\n")
    assert "`deploy.endpoint_mode` has no effect: it is only for Swarm" in ran.err


def test_status_tells_every_object_and_why_it_is_pending(world: World) -> None:
    world.run("apply")
    assert world.run("status").out.startswith(f"shop ({world.folder}): in sync\n")
    world.spec.write_text(world.spec.read_text().replace("8080:80", "8081:80"))
    ran = world.run("status")
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["container", "db", "in", "sync"] in lines
    assert ["container", "web", "pending:", "change"] in lines
    assert any("8080:80 → 8081:80" in line for line in ran.out.splitlines())
    state = json.loads(world.run("status", "--format", "json").out)
    assert state["in_sync"] is False
    assert [each["name"] for each in state["containers"]] == ["db", "web"]


def test_down_keeps_volumes_that_are_not_named(world: World) -> None:
    world.run("apply")
    assert world.run("down").code == 0
    assert world.runtime.containers() == ()
    assert list(world.runtime.volumes_made) == [("shop", "data")]
    assert world.run("down", "--volumes", "dta").code == 1
    assert world.run("down", "--volumes", "data").code == 0
    assert world.runtime.volumes_made == {}
    assert world.run("down").out == "nothing to change\n"
    ran = world.run("down", "--volumes", "data")
    assert (ran.code, ran.out) == (1, "")
    assert "has no volume data; its volumes: none" in ran.err


def test_volumes_takes_one_word_and_refuses_what_is_no_volume(world: World) -> None:
    spec = world.spec.read_text().replace("data: {}", "data: {}\n  more: {}\n  rest: {}")
    world.spec.write_text(spec)
    world.run("apply")
    ran = world.run("down", "--volumes", "data,dta", str(world.folder))
    assert ran.code == 1
    assert "project shop has no volume dta; its volumes: data, more, rest\n" in ran.err
    assert len(world.runtime.containers()) == 2
    assert world.run("down", "--volumes", "data,").code == 64
    assert world.run("down", "--volumes", "data,more", str(world.folder)).code == 0
    assert list(world.runtime.volumes_made) == [("shop", "rest")]


@pytest.mark.parametrize("damage", ["broken", "gone"])
def test_down_needs_no_sound_spec(world: World, damage: str) -> None:
    world.run("apply")
    if damage == "gone":
        world.spec.unlink()
    else:
        world.spec.write_text("][")
    assert world.run("down").code == 0
    assert world.runtime.containers() == ()
    assert world.run("down").code == 64
    assert world.run("down", "--project", "shop").code == 0


def test_down_says_when_there_is_no_such_project(world: World) -> None:
    world.run("apply")
    ran = world.run("down", "--project", "shpo")
    assert (ran.code, ran.out) == (
        0,
        "  note: there is no project shpo here; those that are: shop\n\nnothing to change\n",
    )
    assert world.runtime.containers()


def test_who_waits_for_the_lock_is_told_for_whom(world: World) -> None:
    prepare(world.root)
    with project_lock(instance(world.root).locks, "shop"):
        ran = world.run("apply", "--lock-timeout", "0.05")
    assert ran.code == 1
    assert ran.err.startswith("waiting for process ")
    assert "project shop is busy" in ran.err
    assert world.run("apply").code == 0


def test_an_apply_that_was_killed_is_named_and_finished(world: World) -> None:
    from tests.fake_world import Killed

    world.runtime.kill_at = 3
    with pytest.raises(Killed):
        world.run("apply")
    world.runtime.revive()
    ran = world.run("apply")
    assert ran.code == 0
    assert re.match(r"the apply of \d\d:\d\d was interrupted at .*; finishing it\n", ran.err)


def test_after_the_timeout_nothing_new_is_begun(world: World) -> None:
    hold = threading.Event()
    threading.Timer(0.5, hold.set).start()
    world.runtime.pause["create volume", "data"] = hold
    ran = world.run("apply", "--timeout", "0.1")
    assert ran.code == 1
    assert "timed out" in ran.err
    assert re.search(r"shop: timed out: \d of 6 changes made in ", ran.err)
    assert "\n  not done: container db, container web\n" in ran.err
    assert world.run("apply").code == 0


def test_ps_filters_and_formats(world: World) -> None:
    world.run("apply")
    shown = world.run("ps", "--format", "{{.Names}} {{.State}}").out
    assert sorted(shown.splitlines()) == ["shop/db running", "shop/web running"]
    one = world.run("ps", "-q", "--filter", "name=db").out
    assert re.fullmatch(r"[0-9a-f]{12}\n", one)
    assert world.run("ps", "-a", "--filter", "stauts=x").code == 64
    ran = world.run("ps", "-a", "--filter", "status=foo")
    assert (ran.code, ran.err) == (
        64,
        "`foo` is no status\n  known are: created, running, restarting, exited, dead\n",
    )
    first = json.loads(world.run("ps", "-l", "--format", "json").out)
    assert msgspec.to_builtins(first)["Project"] == "shop"


def test_pull_ends_with_the_full_reference(world: World) -> None:
    ran = world.run("pull", "nginx")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "Using default tag: latest"
    assert ran.out.splitlines()[-1] == "docker.io/library/nginx:latest"
    assert world.run("pull", "-q", "nginx:1.27").out == "docker.io/library/nginx:1.27\n"
    assert world.run("pull", "UPPER").code == 64
    ran = world.run("pull", "x@sha256:123")
    assert ran.code == 64
    assert "after @ a sha256 digest must stand" in ran.err


REGISTRIES = """
registries:
  r.lab:
    insecure: true
    auth: {username: ci, password: {env: LAB_PW}}
"""


def test_pull_knows_what_a_spec_says_of_the_registry(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[RegistryAccess] = []
    real = world.runtime.images.pull

    def pull(image: ImageSpec, registries: Sequence[RegistryAccess], report: Report) -> str:
        heard[:] = registries
        return real(image, registries, report)

    monkeypatch.setattr(world.runtime.images, "pull", pull)
    monkeypatch.setenv("LAB_PW", "geheim")
    lab = RegistryAccess(host="r.lab", insecure=True, username="ci", password="geheim")
    world.spec.write_text(world.spec.read_text() + REGISTRIES)
    assert (world.run("pull", "r.lab/web").code, heard) == (0, [lab])
    assert (world.run("pull", "nginx").code, heard) == (0, [lab])  # a mirror may be asked
    monkeypatch.chdir(tmp_path)
    assert (world.run("pull", "r.lab/web").code, heard) == (0, [])
    assert (world.run("pull", "r.lab/web", "--spec", str(world.spec)).code, heard) == (0, [lab])
    world.spec.write_text("][")
    assert world.run("pull", "r.lab/web", "--spec", str(world.spec)).code == 64
    monkeypatch.chdir(world.folder)
    ran = world.run("pull", "r.lab/web")
    assert (ran.code, heard) == (0, [])
    assert "its `registries:` are not used" in ran.err


def test_a_missing_password_hinders_nobody_who_needs_no_registry(world: World) -> None:
    world.spec.write_text(world.spec.read_text() + REGISTRIES)
    for command in ("plan", "status", "apply", "down"):
        assert world.run(command).code in (0, 2), command


def test_not_root_is_one_clear_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for words in (["apply"], ["ps"], ["logs", "web"]):
        ran = world.run(*words)
        assert (ran.code, ran.err.splitlines()[0]) == (
            1,
            "trueup works as root only: it makes namespaces, mounts and nftables rules",
        )
    assert world.run("validate").code == 0
