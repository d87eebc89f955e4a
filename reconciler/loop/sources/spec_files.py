"""A file of the spec was saved.

Folders are watched, not files: an editor's save by rename ends a watch on a file. Only the
folders that hold files of the spec are watched, not what lies below them, since data of
containers may.
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

_RETRY_SECONDS = 2.0

Identity = tuple[int, int] | None


class SpecFiles:
    """Calls ``wake`` with the folders in which something changed, of those given, from a thread
    of its own, until ``close``. A folder that vanishes is watched again when it is back."""

    def __init__(
        self, wake: Callable[[frozenset[Path]], None], report: Callable[[Exception], None]
    ) -> None:
        self._wake, self._report = wake, report
        self._folders: tuple[Path, ...] = ()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, folders: Iterable[Path]) -> None:
        """Watch these folders and no others; the same ones again cost nothing."""
        wanted = tuple(sorted(set(folders)))
        if wanted == self._folders:
            return
        self.close()
        self._folders, self._ended = wanted, threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(wanted, self._ended), name="spec-files", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._thread = None

    def _run(self, folders: tuple[Path, ...], ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                self._follow({folder: _identity(folder) for folder in folders}, ended)
            except Exception as error:  # noqa: BLE001  # the resync still reads the spec
                self._report(error)
            ended.wait(_RETRY_SECONDS)

    def _follow(self, folders: dict[Path, Identity], ended: threading.Event) -> None:
        """Wake on each change until the end, or until one of the folders is another one; and
        once for all when the watch stands, since what came before it was not seen."""
        from watchfiles import watch

        present = [folder for folder, identity in folders.items() if identity]
        if not present:
            return
        stands = False
        for changes in watch(
            *present,
            stop_event=ended,
            recursive=False,
            raise_interrupt=False,
            yield_on_timeout=True,
            rust_timeout=1000,
            debounce=400,
        ):
            if (changes or not stands) and not ended.is_set():
                self._wake(_touched(changes, folders) if stands else frozenset(folders))
            stands = True
            gone = any(Path(path) in folders for _, path in changes)
            if gone or any(_identity(folder) != was for folder, was in folders.items()):
                return


def _touched(changes: Iterable[tuple[object, str]], folders: Iterable[Path]) -> frozenset[Path]:
    """The folders that the changed paths are or lie in."""
    paths = [Path(path) for _, path in changes]
    return frozenset(folders) & {place for path in paths for place in (path, path.parent)}


def _identity(folder: Path) -> Identity:
    """Which folder stands there, None if none: one that was removed and made again is another."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
