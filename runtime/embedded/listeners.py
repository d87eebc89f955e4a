"""Which TCP ports a container's processes listen on, read from its network namespace."""

_LISTEN = "0A"  # include/net/tcp_states.h


def listening(pid: int) -> frozenset[int]:
    """TCP ports with a listener in the namespace of process ``pid``, IPv4 and IPv6,
    proc_net(5). Empty when the process is gone."""
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{table}") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        ports |= {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTEN}
    return frozenset(ports)
