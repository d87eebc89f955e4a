"""What the name server keeps on disk."""

from pathlib import Path

from runtime.embedded.dns.aardvark import Server


def test_a_stopped_server_leaves_nothing_also_of_one_killed_while_it_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "dns"
    (folder / "zones").mkdir(parents=True)
    (folder / "zones/front").write_text("zone")
    (folder / "side.new").write_text("half a zo")
    server = Server(folder, tmp_path / "router")
    server.stop()
    assert list(tmp_path.iterdir()) == []
    server.stop()
