"""Everything that a client has set on its session, and what it may ask about its last statement. No I/O.

The rule: COM_RESET_CONNECTION makes a new `SessionState` from the login; nothing a client set survives it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from proxy.executor.warnings import Condition
from proxy.session.charsets import Charset, login_collation
from proxy.session.variables import VariableValue
from proxy.wire.capabilities import Status
from tso.types import Timestamp
from txguard.engine.branch import Isolation

AUTOCOMMIT = int(Status.AUTOCOMMIT)
IN_TRANS = int(Status.IN_TRANS)
IN_TRANS_READONLY = IN_TRANS | int(Status.IN_TRANS_READONLY)

UserValue = int | float | Decimal | str | bytes | None
"""A user variable's constant value; text as UTF-8 with surrogate escapes, as statements are. Dates are text."""


@dataclass(slots=True)
class Diagnostics:
    """What LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS() and SHOW WARNINGS tell of earlier statements."""

    last_insert_id: int = 0
    row_count: int = -1
    found_rows: int | None = 1
    """None: the last result was passed on uncounted."""
    conditions: list[Condition] = field(default_factory=list)


@dataclass(slots=True)
class Characteristics:
    """SET TRANSACTION: for the session, and (None: as the session) for the next transaction only."""

    isolation: Isolation = Isolation.REPEATABLE_READ
    read_only: bool = False
    snapshot_isolation: bool = True
    """innodb_snapshot_isolation: whether REPEATABLE READ refuses to overwrite what its snapshot does not see."""
    next_isolation: Isolation | None = None
    next_read_only: bool | None = None

    @property
    def one_shot(self) -> bool:
        """Whether something was set for the next transaction only."""
        return self.next_isolation is not None or self.next_read_only is not None

    @property
    def effective_read_only(self) -> bool:
        """Of the transaction that would begin now."""
        return self.read_only if self.next_read_only is None else self.next_read_only

    def take(self, *, read_only: bool | None = None) -> tuple[Isolation, bool]:
        """Those of the transaction that begins now; what was set for it alone is used up. `read_only`: BEGIN's."""
        isolation = self.isolation if self.next_isolation is None else self.next_isolation
        if read_only is None:
            read_only = self.effective_read_only
        self.next_isolation = self.next_read_only = None
        if isolation is Isolation.REPEATABLE_READ:
            return (isolation if self.snapshot_isolation else Isolation.LAX_REPEATABLE_READ), read_only
        if isolation is Isolation.SERIALIZABLE and read_only:
            isolation = Isolation.REPEATABLE_READ  # A snapshot is serial where it was taken, without a lock.
        return isolation, read_only


@dataclass(slots=True)
class ClientCharset:
    """SET NAMES and its relatives. `results` None: SET character_set_results = NULL, rows go out as stored."""

    client: Charset
    results: Charset | None
    connection: Charset
    collation: str | None
    """collation_connection; None: the default one of `connection` on the shards."""

    @classmethod
    def of_login(cls, collation_id: int) -> ClientCharset:
        charset, collation = login_collation(collation_id)
        return cls(charset, charset, charset, collation)


@dataclass(slots=True)
class SessionState:
    database: str | None
    charset: ClientCharset
    autocommit: bool = True
    characteristics: Characteristics = field(default_factory=Characteristics)
    variables: dict[str, VariableValue] = field(default_factory=dict)
    """The variables that the proxy holds and that differ from their default."""
    snapshot_ts: Timestamp | None = None
    """txguard_snapshot: the instant at which all is read, and nothing written."""
    shard_variables: dict[str, str] = field(default_factory=dict)
    """The variables that the shards hold: name to value, as a SQL literal that a shard has accepted."""
    user_variables: dict[str, UserValue] = field(default_factory=dict)
    diagnostics: Diagnostics = field(default_factory=Diagnostics)

    def status(self, *, in_transaction: bool, read_only: bool = False) -> int:
        """The status flags of an OK or EOF packet."""
        flags = AUTOCOMMIT if self.autocommit else 0
        if in_transaction:
            flags |= IN_TRANS_READONLY if read_only else IN_TRANS
        return flags


def fresh_state(database: str | None, collation_id: int) -> SessionState:
    return SessionState(database, ClientCharset.of_login(collation_id))
