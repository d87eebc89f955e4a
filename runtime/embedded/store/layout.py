"""The store's folders: what is whole, what is being made, and who works there.

    blobs/sha256/<hex>   manifests, configurations and layers' archives, as they came
    layers/<hex>/        a layer's files, ready for overlayfs; named by its diff id
    layers/<hex>.<name>/ one that was made anew, since it was damaged or not in the index:
                         containers may still stand on it
    partial/<hex>.<hex>  what has come of an archive that is being fetched, or was, by the layer's
                         diff id and its own digest: only who makes that layer writes it
    empty/               stands for the layers of an image that has none
    tmp/<name>/          being made
    locks/<hex>          one per layer while somebody makes it
    ballast              room for removing things from a full disk
    lock                 shared by those who add, exclusive for who removes

A layer is made in ``tmp``, brought to disk by syncfs(2) with its archive, both are renamed and only
then entered into the index: after power loss they are whole or absent.
"""

import fcntl
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runtime import durable
from runtime.embedded.linux import files, locks, proc
from runtime.embedded.store.faults import StoreBusy
from runtime.reference import check_digest

_LOOK_EVERY = 0.05  # seconds
_PARTIAL_SECONDS = 7 * 86400.0  # nobody goes on with a fetch after so long
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A folder being made: ``root`` will be kept, ``aside`` takes what is thrown away. Both are
    descriptors; ``path`` is where ``root`` lies."""

    path: Path
    root: int
    aside: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie below ``root``."""

    root: Path

    def prepare(self) -> None:
        """Make the folders; nobody but root may enter: layers hold set-user-id programs."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (
            self.blobs, self.layers, self.partial, self.tmp, self.locks, self.empty,
        ):  # fmt: skip
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder, mode in ((self.root, 0o700), (self.empty, 0o755)):
            if stat.S_IMODE(folder.stat().st_mode) != mode:
                folder.chmod(mode)

    @property
    def index(self) -> Path:
        return self.root / "index.db"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs" / "sha256"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def empty(self) -> Path:
        return self.root / "empty"

    @property
    def partial(self) -> Path:
        return self.root / "partial"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def ballast(self) -> Path:
        return self.root / "ballast"

    def layer(self, diff_id: str) -> Path:
        return self.layers / check_digest(diff_id)

    def blob(self, digest: str) -> Path:
        return self.blobs / check_digest(digest)

    def fetching(self, digest: str, diff_id: str) -> Path:
        """Where a blob comes to that is said to be this layer. Several may claim the same blob;
        each has a file of its own, so that none writes into what another one has verified."""
        return self.partial / f"{check_digest(diff_id)}.{check_digest(digest)}"

    def begun(self, digest: str, diff_id: str) -> int:
        """How many bytes an earlier fetch of this blob has left here."""
        try:
            return self.fetching(digest, diff_id).stat().st_size
        except FileNotFoundError:
            return 0

    def write_blob(self, digest: str, raw: bytes) -> None:
        """Keep a verified document under its digest."""
        path = self.blob(digest)
        if not path.exists():
            durable.write(path, raw)

    def making(
        self, diff_id: str, still: Callable[[], None] | None = None
    ) -> AbstractContextManager[None]:
        """Be the only one to make this layer; ``still`` may raise while another one does."""
        name = check_digest(diff_id)
        return durable.lock(self.locks / name, what=f"layer {name[:12]}", still=still)

    def sending(
        self, host: str, digest: str, still: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """Be the only one to send this blob to that registry: one that gets it twice at once may
        lose it for a moment (distribution 2.8 on a file system). ``still`` as for ``making``."""
        name = check_digest(digest)
        what = f"sending {name[:12]} to {host}"
        return durable.lock(self.locks / f"{name}.{host}", what=what, still=still)

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Keep others from removing what we have found or made and not yet entered."""
        with self._lock(fcntl.LOCK_SH):
            yield

    @contextmanager
    def removing(self, patience: float = 0.0) -> Iterator[None]:
        """Wait until nobody adds, ``patience`` seconds at most, and keep them from it. Raises
        ``StoreBusy``."""
        end = time.monotonic() + patience
        with ExitStack() as held:
            while True:
                with suppress(BlockingIOError):
                    held.enter_context(self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB))
                    break
                if time.monotonic() >= end:
                    raise StoreBusy(str(self.root), patience, self._others() if patience else "")
                time.sleep(_LOOK_EVERY)
            yield

    @contextmanager
    def staging(self) -> Iterator[Stage]:
        """A folder to make a layer in. It is removed afterwards, with what was not renamed."""
        name = f"{os.getpid()}-{os.urandom(6).hex()}"
        place = self.tmp / name
        (place / "aside").mkdir(parents=True, mode=0o700)
        (place / "root").mkdir(mode=0o755)
        opened = [os.open(place / part, _FOLDER) for part in ("root", "aside")]
        try:
            os.fchmod(opened[0], 0o755)
            yield Stage(path=place / "root", root=opened[0], aside=opened[1])
        finally:
            self._remove(self.tmp, name)
            for fd in opened:
                os.close(fd)

    def keep_archive(self, stage: Stage, archive: Path, digest: str) -> None:
        """Make an archive (a file of the store) and the staged layer durable, the first visible."""
        files.sync_file_system(stage.root)
        os.rename(archive, self.blob(digest))
        durable.sync_folder(self.blobs)

    def keep_layer(self, stage: Stage, diff_id: str) -> None:
        """Make a durable staged layer visible. A damaged or unknown one in its place is put aside,
        for containers that stand on it."""
        place = self.layer(diff_id)
        if place.exists():
            os.rename(place, place.with_name(f"{place.name}.{os.urandom(6).hex()}"))
        os.rename(stage.path, place)
        durable.sync_folder(self.layers)

    def keep_only(
        self,
        layers: Collection[str],
        blobs: Collection[str],
        stood: Collection[str],
        *,
        begun: bool,
    ) -> int:
        """Remove every layer (diff id) and blob (digest) but these, and what killed processes
        have left half made; with ``begun``, fetches that broke off lately stay. What was put aside
        stays for ``stood``, the layers that containers stand on. Tells how many bytes of blobs,
        whole or begun, went. Call it while ``removing``."""
        whole, aside = ({check_digest(each) for each in ids} for ids in (layers, stood))
        for name in sorted(os.listdir(self.layers)):
            digits, dot, _ = name.partition(".")
            if digits not in (aside if dot else whole):
                # First its name, so that nobody ever sees half of it.
                gone = f"gone-{name}-{os.urandom(6).hex()}"  # the rest of another may lie there
                os.rename(self.layers / name, self.tmp / gone)
        freed = 0
        for name in sorted(os.listdir(self.blobs)):
            if f"sha256:{name}" not in blobs:
                freed += (self.blobs / name).stat().st_size
                os.unlink(self.blobs / name)
        since = time.time() - (_PARTIAL_SECONDS if begun else 0)
        for partial in self.partial.iterdir() if self.partial.exists() else ():
            if (status := partial.stat()).st_mtime <= since:
                freed += status.st_size
                partial.unlink()
        self._sweep()
        return freed

    def sweep(self) -> None:
        """Remove what killed processes have left half made, unless somebody adds right now."""
        if os.listdir(self.tmp) or os.listdir(self.locks):
            with suppress(StoreBusy), self.removing():
                self._sweep()

    def _sweep(self) -> None:
        for name in sorted(os.listdir(self.tmp)):
            self._remove(self.tmp, name)
        for name in sorted(os.listdir(self.locks)):
            os.unlink(self.locks / name)

    def _remove(self, folder: Path, name: str) -> None:
        fd = os.open(folder, _FOLDER)
        try:
            files.remove_tree(fd, os.fsencode(name))
        finally:
            os.close(fd)

    def _others(self) -> str:
        """Who adds or removes now, as far as it can be told."""
        found = map(proc.read, locks.holders(self.root / "lock"))
        return ", ".join(f"process {each.pid} ({each.command[:200]})" for each in found if each)

    @contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)
