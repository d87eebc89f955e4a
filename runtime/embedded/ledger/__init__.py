"""The engine's own records: what it has promised and to whom.

Rows say what shall be (addresses, ports, which generation serves) and what a generation was
made from (``applied``); whether it still is so, the kernel is asked. An intent is committed
here before the kernel is touched, so that a killed engine finds its half-made things again.

SQLite: WAL, synchronous FULL, every write in BEGIN IMMEDIATE (with a plain BEGIN concurrent
processes die of "locked"). ``State`` is a snapshot of all rows, read as one value.
"""

from runtime.embedded.ledger.database import DamagedLedger, Ledger, NewerLedger
from runtime.embedded.ledger.rows import ContainerRow, NetworkRow, Place, ServiceRow, State
from runtime.embedded.ledger.writer import Writer

__all__ = [
    "ContainerRow",
    "DamagedLedger",
    "Ledger",
    "NetworkRow",
    "NewerLedger",
    "Place",
    "ServiceRow",
    "State",
    "Writer",
]
