"""conmon's exit command: brings a container back as its restart policy says.

It runs after each exit, so it is one file for the standard library only, started as
``python3 -I -S on_exit-HASH.py BUNDLE INCARNATION`` from a copy (see ``supervise._script``) by
Python 3.10 or newer; even ``json`` is too dear (6 ms). What it needs stands in small files of
the bundle: ``wish`` and ``intent`` (see ``intent.py``), ``argv`` (conmon's command line),
``run`` (who runs), ``restarts`` (how often it was brought back, or tried to).

conmon calls it in more cases than an exit: after a failed create, after a delete, and beside a
running container when conmon itself gives up. So it acts only when the exit file is there, the
init process is dead, its incarnation is current and the wish is to run. It sleeps the back-off
without the container's lock, under a name in ``restarter`` by which a stop can end it.
"""

import fcntl
import os
import select
import sys
import time

HEALTHY = 10.0  # seconds; a run this long is no crash loop
FIRST_DELAY, LONGEST_DELAY = 0.1, 60.0  # seconds
NOT_STARTED = 128  # the exit code that stands for "it could not be started again"
POLL = 0.005  # seconds
INIT = "/proc/1/comm"
CREATE_TIMEOUT, CALL_TIMEOUT = 60.0, 30.0  # seconds for conmon to create, for the OCI runtime

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}


class Leave(Exception):
    """Somebody else decides about this container now."""


def next_delay(
    kind: str, max_retries: int, exit_code: int, restarts: int, ran: float, previous: float
) -> float | None:
    """Seconds to wait before the next run, None for none.

    ``ran`` is how long the ended run took, ``previous`` the delay before it; ``max_retries`` 0
    is no limit (Docker's rules: 100 ms, doubled up to a minute, forgotten after a healthy run).
    """
    if kind == "no" or (kind == "on-failure" and exit_code == 0):
        return None
    if kind == "on-failure" and 0 < max_retries <= restarts:
        return None
    if ran >= HEALTHY:
        return 0.0
    return min(LONGEST_DELAY, max(FIRST_DELAY, 2 * previous))


def read(path: str) -> str:
    """The text of a small file, "" when it is absent."""
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def facts(path: str) -> dict[str, str]:
    """A file of ``name=value`` lines."""
    return dict(line.split("=", 1) for line in read(path).split("\n") if line)


def write(path: str, values: dict[str, object]) -> None:
    """Replace such a file as a whole; nobody ever sees half of it."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w") as file:
        file.write("".join(f"{name}={value}\n" for name, value in values.items()))
    os.rename(temporary, path)


def file_clock() -> float:
    """Seconds since the epoch as the times of files have them: by CLOCK_REALTIME_COARSE, which is
    up to 4 ms behind. Else a short run would end before it began."""
    return time.clock_gettime(5)


def going_down() -> bool:
    """Whether the host powers off or reboots, and init's successor kills what is left. It waits 90
    seconds for us, and a container that came back now could not run."""
    return read(INIT).startswith("systemd-shutdow")


def start_time(pid: int) -> int:
    """Clock ticks from boot to the process's start; 0 when it is dead, also as a zombie."""
    stat = read(f"/proc/{pid}/stat")
    fields = stat[stat.rfind(")") + 2 :].split()
    return int(fields[19]) if fields and fields[0] not in "ZX" else 0


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


class Lock:
    """The container's lock, as ``durable.lock`` takes it: an flock on a file that its holder
    removes. While waiting it leaves as soon as the container is not ours any more."""

    def __init__(self, container: "Container") -> None:
        self.container, self.path, self.fd = container, f"{container.bundle}/lock", -1

    def __enter__(self) -> None:
        while not self._taken():
            self.container.check()
            time.sleep(POLL)
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, b"%d restarting the container" % os.getpid(), 0)

    def __exit__(self, *_: object) -> None:
        remove(self.path)
        os.close(self.fd)

    def _taken(self) -> bool:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as gone:  # the bundle itself
            raise Leave from gone
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.stat(self.path), os.fstat(fd)):
                self.fd = fd
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(fd)
        return False


class Container:
    """A container between two runs."""

    def __init__(self, bundle: str, incarnation: str) -> None:
        self.bundle, self.incarnation = bundle, incarnation
        self.intent = facts(f"{bundle}/intent")
        self.exit_file = f"{self.intent.get('exits')}/{self.intent.get('id')}"
        self.outcome = f"{os.path.dirname(self.intent.get('log', ''))}/outcome"

    def check(self) -> tuple[str, int]:
        """The restart policy as it is now; raises ``Leave`` when the container shall not run or
        was launched anew."""
        wish = read(f"{self.bundle}/wish").split()
        current = facts(f"{self.bundle}/intent").get("incarnation")
        if not wish or wish[0] != "run" or current != self.incarnation:
            raise Leave
        return wish[1], 0 if wish[2] == "-" else int(wish[2])

    def ended(self) -> tuple[int, float]:
        """Exit code and length of the run that ended; raises ``Leave`` when none did."""
        run = facts(f"{self.bundle}/run")
        text = read(self.exit_file)
        if not text or not run or start_time(int(run["pid"])) == int(run["start"]):
            raise Leave
        began = int(run["start"]) / os.sysconf("SC_CLK_TCK")
        return int(text), time.clock_gettime(time.CLOCK_BOOTTIME) - began

    def decide(self, exit_code: int, ran: float) -> float:
        """How long to wait before the next run; raises ``Leave`` when there shall be none,
        and while the host goes down."""
        kind, retries = self.check()
        past = facts(f"{self.bundle}/restarts")
        count, previous = int(past.get("count", 0)), float(past.get("delay", 0))
        delay = next_delay(kind, retries, exit_code, count, ran, previous)
        self.record(count, previous if delay is None else delay, exit_code, past)
        if delay is None or going_down():
            raise Leave
        return delay

    def record(self, count: int, delay: float, exit_code: int, past: dict[str, str]) -> None:
        """Keep what the exit files said: the next run removes them. The outcome is for the time
        after a reboot, when the bundle is gone, too."""
        try:
            finished = os.stat(self.exit_file).st_mtime
        except FileNotFoundError:
            finished = float(past.get("finished", 0))
        oom = int(os.path.exists(f"{self.bundle}/oom"))
        values = {"count": count, "code": exit_code, "oom": oom, "finished": finished}
        write(f"{self.bundle}/restarts", {**values, "delay": delay})
        try:
            write(self.outcome, {**values, "want": "run"})
        except OSError:  # on a full disk it must come back all the same
            remove(f"{self.outcome}.{os.getpid()}")

    def count(self) -> None:
        """One more restart, or one that failed."""
        past = facts(f"{self.bundle}/restarts")
        write(f"{self.bundle}/restarts", {**past, "count": int(past.get("count", 0)) + 1})

    def run_again(self) -> None:
        """Start a successor: a new conmon with the old one's command line. Raises ``OSError``."""
        intent, bundle = self.intent, self.bundle
        oci = [intent["oci"], "--root", intent["oci_root"]]
        call([*oci, "delete", "--force", intent["id"]])
        for name in ("exit", "oom", "pidfile", "conmon.pid"):
            remove(f"{bundle}/{name}")
        remove(self.exit_file)
        rotate(intent["log"], int(intent["log_max"]), int(intent.get("log_files", 2)))
        join(bundle, intent.get("joins", ""))
        try:
            pid = create(read(f"{bundle}/argv").split("\0")[:-1])
        except TimeoutError:
            end_monitor(f"{bundle}/conmon.pid")
            raise
        started = {"boot": read("/proc/sys/kernel/random/boot_id").strip(), "pid": pid}
        started["start"] = start_time(pid)
        monitor, began = int(read(f"{bundle}/conmon.pid")), file_clock()
        call([*oci, "start", intent["id"]])
        self.count()
        monitored = {"monitor": monitor, "monitor_start": start_time(monitor)}
        write(f"{bundle}/run", {**started, **monitored, "began": began})
        remove(self.outcome)


class Log:
    """A container's log, of which ``files`` are kept: ``log`` itself and ``log.1``, the youngest
    old one, to ``log.N``.

    conmon begins a full log anew by a rename of ``log.tmp`` over it, and what was in it is gone
    with its name. So it has a second name: ``last-log`` is the file that was ``log`` when
    somebody last looked, and ``next-log`` the empty ``log.tmp`` that conmon will take next. What
    two of conmon's renames replace is still there at the next look; while nobody looks that is
    up to two files more than ``files``.
    """

    def __init__(self, path: str, files: int) -> None:
        folder = os.path.dirname(path)
        self.folder, self.path, self.files = folder, path, files
        self.last, self.next = f"{folder}/last-log", f"{folder}/next-log"
        self.spare, self.fd = f"{path}.tmp", -1

    def __enter__(self) -> None:
        """Hold what guards the names, flock(2) on the folder; for microseconds only."""
        self.fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def is_held(self, number: int) -> bool:
        """Whether the log, the file of this inode, has all its names."""
        return inode(self.last) == number and inode(self.next) is not None

    def settle(self) -> None:
        """Put aside what conmon has replaced since somebody last looked, in its order."""
        if inode(self.next) == inode(self.last):
            remove(self.next)
        for name in (self.last, self.next):
            # The spare first: it may become the log while we ask.
            spare = inode(self.spare)
            if inode(name) in (None, spare) or inode(name) == inode(self.path):
                continue
            if os.stat(name).st_size:
                self.put_aside(name)
            else:
                remove(name)

    def hold(self) -> None:
        """Give the log, if there is one, its second name."""
        if self.files == 1 or inode(self.last) is not None:
            return
        try:
            # conmon may have taken the spare; the log may be another one by the time of a link.
            if inode(self.next) not in (None, inode(self.spare)):
                os.rename(self.next, self.last)
            else:
                os.link(self.path, self.last)
        except FileNotFoundError:
            pass

    def prepare(self) -> None:
        """Give conmon's next file a second name before conmon takes it."""
        if self.files == 1 or inode(self.next) is not None:
            return
        os.close(os.open(self.spare, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
        try:
            os.link(self.spare, self.next)
        except FileNotFoundError:  # taken in this moment
            pass

    def put_aside(self, name: str) -> None:
        """Rename it, and the older ones before it; what is too old goes."""
        names = [name, *(f"{self.path}.{number}" for number in range(1, self.files))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            try:
                os.rename(newer, older)
            except FileNotFoundError:
                pass
        if self.files == 1:
            remove(name)

    def trim(self) -> None:
        """Remove what is too old since ``files`` became less."""
        for name in os.listdir(self.folder):
            stem, _, number = name.rpartition(".")
            ours = f"{self.folder}/{stem}" == self.path and number.isdigit()
            if ours and int(number) >= self.files:
                remove(f"{self.folder}/{name}")
        if self.files == 1:
            remove(self.last)
            remove(self.next)


def inode(path: str) -> "int | None":
    """None when it is absent."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


def rotate(path: str, most: int, files: int) -> None:
    """Before a start: put a full log aside, as conmon appends and counts from 0 again, so nothing
    else bounds it."""
    if not most:
        return
    log = Log(path, files)
    with log:
        log.settle()
        if inode(path) is not None and os.stat(path).st_size >= most:
            log.put_aside(path)
            remove(log.last)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
        log.hold()


def join(bundle: str, joins: str) -> None:
    """Lead to the processes whose namespaces it lives in, as ``joining.join``. Raises ``OSError``
    when one does not run."""
    for kind, other in (each.split(":", 1) for each in joins.split(";") if each):
        run = facts(f"{other}/run")
        if not run or start_time(int(run["pid"])) != int(run["start"]):
            raise ProcessLookupError(other)
        remove(f"{bundle}/joined-{kind}")
        os.symlink(f"/proc/{run['pid']}/ns/{kind}", f"{bundle}/joined-{kind}")


def create(argv: list[str]) -> int:
    """Run conmon until the container is created and return its init's pid. Raises ``OSError``,
    and ``TimeoutError`` when there is no answer."""
    ours, theirs = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, theirs, 3)]
        environment = {**ENVIRONMENT, "_OCI_SYNCPIPE": "3"}
        child = os.posix_spawn(argv[0], argv, environment, file_actions=actions)
    finally:
        os.close(theirs)
    try:
        # One line. Not to the end of the file: conmon keeps its end open for life.
        if not readable(ours, CREATE_TIMEOUT):
            raise TimeoutError(argv[0])
        line = os.read(ours, 4096)
    finally:
        os.close(ours)
        reap(child, CALL_TIMEOUT)
    digits = line.partition(b":")[2].strip(b" }\n")
    if not digits.isdigit():
        raise OSError(line)
    return int(digits)


def call(argv: list[str]) -> None:
    child = os.posix_spawn(argv[0], argv, ENVIRONMENT)
    if reap(child, CALL_TIMEOUT):
        raise OSError(argv)


def reap(child: int, timeout: float) -> int:
    """The status of a child that ended, or was killed since it did not."""
    fd = os.pidfd_open(child)
    if not readable(fd, timeout):
        os.kill(child, 9)
    os.close(fd)
    return os.waitpid(child, 0)[1]


def readable(fd: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(int(timeout * 1000)))


def end_monitor(pid_file: str) -> None:
    """Kill a conmon that does not come to an end, and with it its OCI runtime, which dies with its
    parent. Its pid file was written by itself, since we removed the last one's."""
    try:
        os.kill(int(read(pid_file)), 9)
    except (ValueError, ProcessLookupError):
        pass


def restart(container: Container) -> None:
    """Wait and run again until that succeeds; a start that fails counts as a run that failed."""
    with Lock(container):
        exit_code, ran = container.ended()
        delay = container.decide(exit_code, ran)
        write_restarter(container.bundle)
    while True:
        time.sleep(delay)
        with Lock(container):
            container.check()
            try:
                container.run_again()
                return
            except OSError:
                container.count()
                delay = container.decide(NOT_STARTED, 0.0)


def write_restarter(bundle: str) -> None:
    write(f"{bundle}/restarter", {"pid": os.getpid(), "start": start_time(os.getpid())})


def main(bundle: str, incarnation: str) -> None:
    """Left over from conmon: an oom score of -1000, which is not for us or the next container."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("0")
    except OSError:
        pass
    try:
        # conmon writes the file `oom` into its working directory.
        os.chdir(bundle)
        restart(Container(bundle, incarnation))
    except (Leave, FileNotFoundError):
        pass
    finally:
        if facts(f"{bundle}/restarter").get("pid") == str(os.getpid()):
            remove(f"{bundle}/restarter")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
