"""File system layers as values: made from tar archives, subtracted, filtered, written again.

Layers are written deterministically (sorted names, one mtime, no user names), so that equal
content has equal digests and the images' shared base is one blob in every registry and store.
"""

import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MTIME = 1_700_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member of a layer; ``content`` is empty unless it is a regular file."""

    kind: bytes
    mode: int
    uid: int = 0
    gid: int = 0
    link: str = ""
    content: bytes = b""


Layer = Mapping[str, Entry]


def file(content: str | bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
    data = content.encode() if isinstance(content, str) else content
    return Entry(kind=tarfile.REGTYPE, mode=mode, uid=uid, gid=gid, content=data)


def directory(*, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Entry:
    return Entry(kind=tarfile.DIRTYPE, mode=mode, uid=uid, gid=gid)


def symlink(target: str) -> Entry:
    return Entry(kind=tarfile.SYMTYPE, mode=0o777, link=target)


def read(archive: Path, *, without: Iterable[str] = ()) -> Layer:
    """The archive's files, directories and links whose path starts with nothing in ``without``."""
    unwanted = tuple(without)
    with tarfile.open(archive) as tar:
        members = ((m.name.removeprefix("./").strip("/"), m) for m in tar)
        return {
            name: _entry(tar, member)
            for name, member in members
            if name not in ("", ".") and not name.startswith(unwanted)
        }


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    reader = tar.extractfile(member) if member.isreg() else None
    return Entry(
        kind=tarfile.REGTYPE if member.isreg() else member.type,
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        link=member.linkname,
        content=reader.read() if reader else b"",
    )


def difference(full: Layer, base: Layer) -> Layer:
    """What must be laid over ``base`` to get ``full``; a file missing from ``full`` is refused."""
    lost = sorted(base.keys() - full.keys())
    if lost:
        raise ValueError(f"the base has what the image lacks: {', '.join(lost[:5])}")
    return {name: entry for name, entry in full.items() if base.get(name) != entry}


def pack(layer: Layer) -> bytes:
    """The layer as an uncompressed tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(layer):
            _add(tar, name, layer[name])
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, entry: Entry) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = entry.kind, entry.mode, MTIME
    info.uid, info.gid, info.linkname = entry.uid, entry.gid, entry.link
    info.size = len(entry.content)
    tar.addfile(info, io.BytesIO(entry.content))
