"""A branch: one transaction's local transaction on one shard, and the SQL that opens and ends it.

Owns the session variables that the triggers read (docs/protocol.md, "What is stored on a shard") and the order in
which they are set: a branch that only reads sets none, so its connection stays refused for writes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from tso.types import ShardName, Timestamp
from txguard.engine import failpoints
from txguard.engine.install import DATABASE
from txguard.engine.patch import TooNew
from txguard.engine.relay import RelayConnection
from txguard.engine.shard import Rows

Build = Callable[[ShardName, TooNew], Any]
"""(shard, X of [R3]) -> the statement to relay: as the client wrote it where X is empty."""


class Isolation(enum.Enum):
    READ_COMMITTED = "READ-COMMITTED"
    REPEATABLE_READ = "REPEATABLE-READ"
    """Snapshot isolation: the default."""
    LAX_REPEATABLE_READ = "REPEATABLE-READ without conflicts"
    """One snapshot for the reads, and writes on the latest versions, without [R1]: MySQL's own REPEATABLE READ."""
    SERIALIZABLE = "SERIALIZABLE"
    """No snapshot: every read locks. READ ONLY transactions, and autocommit reads, are REPEATABLE_READ's."""

    @property
    def has_snapshot(self) -> bool:
        """Whether all consistent reads of a transaction are made at one `read_ts`."""
        return self in (Isolation.REPEATABLE_READ, Isolation.LAX_REPEATABLE_READ)


class Branch:
    __slots__ = (
        "connection",
        "depends_on_all",
        "named",
        "opened",
        "savepoints",
        "shard",
        "snapshot_unset",
        "token",
        "too_new",
        "variables_set",
        "view_depth",
        "view_open",
        "wrote",
    )

    def __init__(self, shard: ShardName, connection: RelayConnection) -> None:
        self.shard, self.connection = shard, connection
        self.opened = False
        """START TRANSACTION has been sent."""
        self.variables_set = False
        self.snapshot_unset = False
        """The view opened after the variables were set: the triggers do not know of the snapshot yet."""
        self.view_open = False
        self.too_new: tuple[Timestamp, ...] = ()
        """X of [R3], as the open view has it."""
        self.named = False
        """See NAME_IT, for a branch that has only shared locks."""
        self.wrote = False
        self.depends_on_all = False
        """It may have looked at undecided rows, or taken a unique key that one of them freed."""
        self.token: int | None = None
        """The shard's rollback counter, from before the running statement [R5]."""
        self.savepoints: list[str] = []
        """Those of the client that were set while this branch was open, oldest first."""
        self.view_depth = 0
        """How many of `savepoints` were set when the view was opened."""


NAME_IT = f"SELECT 1 FROM `{DATABASE}`.`rollback_counter` WHERE id = 0 FOR UPDATE"
"""MariaDB gives a local transaction its id once it locks for writing. Who only holds shared locks has the id 0, and
nobody could tell it from the others when a deadlock, or an undo that it blocks, is looked into. It finds no row.
Sent at the start where every read locks, otherwise before the first FOR SHARE."""


def start_statements(isolation: Isolation, *, with_view: bool) -> list[str]:
    if not isolation.has_snapshot:
        level = isolation.value.replace("-", " ")
        named = [NAME_IT] if isolation is Isolation.SERIALIZABLE else []
        return [f"SET TRANSACTION ISOLATION LEVEL {level}", "START TRANSACTION", *named]
    return ["START TRANSACTION WITH CONSISTENT SNAPSHOT" if with_view else "START TRANSACTION"]


def set_variables(
    start_ts: Timestamp, floor: Timestamp, read_ts: Timestamp | None, too_new: Sequence[Timestamp]
) -> str:
    """Everything that the triggers read, in one statement. What ended the last transaction left the others NULL."""
    variables = f"SET @txg_start_ts={start_ts},@txg_floor={floor}"
    if read_ts is None or failpoints.active("without_R1"):
        return variables
    return f"{variables},@txg_read_ts={read_ts},@txg_too_new={1 if too_new else 'NULL'}"


def set_snapshot(read_ts: Timestamp | None, too_new: Sequence[Timestamp]) -> str:
    """The snapshot came after the first write: the list of replaced writers must be kept."""
    read = "NULL" if read_ts is None or failpoints.active("without_R1") else str(read_ts)
    return f"SET @txg_read_ts={read},@txg_too_new={1 if too_new else 'NULL'}"


def too_new_query(read_ts: Timestamp) -> str:
    """X of [R3]: what the view holds that the snapshot does not.

    Records in state R are left out: an undo and its record's turning to R are one local transaction, so no
    view shows rows of a writer whose record it shows as rolled back.
    """
    return f"SELECT start_ts FROM _txguard.txn WHERE commit_ts > {read_ts} AND state <> 'R'"


def parse_too_new(rows: Rows) -> tuple[Timestamp, ...]:
    if failpoints.active("without_R3"):
        return ()
    return tuple(Timestamp(int(row[0])) for row in rows.rows if row[0] is not None)
