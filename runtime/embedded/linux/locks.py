"""Who holds locks, proc_locks(5)."""

import os


def holders(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Pids that hold an flock(2) on the file, as far as they are ours to see; a child that shares
    its parent's descriptor is not told. 0 and less stand for processes outside our pid namespace.
    """
    inode = os.stat(path)
    device = f"{os.major(inode.st_dev):02x}:{os.minor(inode.st_dev):02x}"
    wanted = f"{device}:{inode.st_ino}"
    found = set()
    with open("/proc/locks") as file:
        for line in file:
            # 1: FLOCK  ADVISORY  READ 812 fd:00:131 0 EOF; whoever waits has -> behind the number.
            _, kind, _, _, pid, place, *_ = line.split()
            if kind == "FLOCK" and place == wanted:
                found.add(int(pid))
    return tuple(sorted(found))
