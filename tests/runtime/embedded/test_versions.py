"""What the engine works with."""

import platform

from runtime.embedded.versions import versions


def test_versions_name_each_part() -> None:
    found = {row.part: row.version for row in versions()}
    assert found.keys() >= {"kernel", "cgroups", "crun", "conmon", "nft", "seccomp profile"}
    assert found["kernel"].startswith(platform.release())
    assert all(found.values())
