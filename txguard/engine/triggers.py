"""The triggers of a managed table, as SQL text: they stamp rows, keep history, collect dependencies, find conflicts.

They follow docs/protocol.md ("What is stored on a shard", [R1], [R4]) and read the session variables that the engine
sets. What stands where, and why:

- **BEFORE INSERT** stamps the row and, under a snapshot, remembers in `@txg_clash` that the key was in the view or had
  been changed by a writer too new for it. **AFTER INSERT** leaves the I marker and raises what was remembered: only
  here is the row really in, so that a plain duplicate stays error 1062. It does not raise where this transaction
  itself had removed the row (REPLACE, DELETE and INSERT): its history then holds the key already.
- **BEFORE UPDATE** finds conflicts, collects dependencies and stamps the row if any column really changes: an UPDATE
  that changes nothing must count no row, as in MySQL. It looks at every matched row, changed or not.
- **AFTER UPDATE**, **AFTER DELETE** save the old row. Not BEFORE: a row that IGNORE skips is then not touched after
  all. MariaDB calls AFTER UPDATE even for a row that UPDATE IGNORE skipped over a unique or foreign key, so there the
  trigger looks whether the old row still stands.
- ON UPDATE CURRENT_TIMESTAMP: MySQL shows triggers the new time only where the row changes. MariaDB shows it always, so
  there an UPDATE that changes nothing of such a row counts it and touches it; a touch on purpose looks the same.
- History is written once per transaction and key: never when the old row is this transaction's own.

A SIGNAL is not downgraded by IGNORE on either server. ON DUPLICATE KEY UPDATE leaves no warning where INSERT IGNORE
would. The look-up in `txn` is a SELECT … INTO of its own: anything else is a locking read on MySQL.
"""

from __future__ import annotations

from typing import Final

from txguard.engine.install import DATABASE
from txguard.engine.managed_table import (
    NEXT,
    OPERATION,
    WRITER,
    Category,
    Flavour,
    ManagedColumn,
    ManagedTable,
    Operation,
)
from txguard.engine.sqltext import quote, quoted_list

REFUSED_ERRNO: Final = 9106
"""A managed table was written without a TxGuard transaction."""

CONFLICT_ERRNO: Final = 1213

TRIGGER_SQL_MODE: Final = "ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO"
"""Stored with a trigger: it must be able to copy any row that the table can hold, zero dates too."""

_MAX_DEPENDENCIES: Final = 4000
"""Characters of `@txg_deps` (some 200 writers) beyond which it becomes `EVERYTHING`."""

EVERYTHING: Final = "*"
"""The value of `@txg_deps` for: too many to list, depend on all that is undecided on this shard."""

_REFUSE: Final = (
    f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {REFUSED_ERRNO}, MESSAGE_TEXT = "
    "'This table is managed by TxGuard: write it through the proxy, or SET @txg_bypass = 1 for repairs'"
)
_CONFLICT: Final = (
    f"SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = {CONFLICT_ERRNO}, MESSAGE_TEXT = "
    "'Deadlock found when trying to get lock; try restarting transaction (TxGuard: write conflict)'"
)

_TXN: Final = f"`{DATABASE}`.`txn`"
_GUARD: Final = f"""IF @txg_bypass = 1 THEN LEAVE txg; END IF;
  IF @txg_start_ts IS NULL OR @txg_floor IS NULL THEN {_REFUSE}; END IF;"""
_UNGUARDED: Final = "@txg_bypass = 1 OR @txg_start_ts IS NULL OR @txg_floor IS NULL"
_BYPASS: Final = "IF @txg_bypass = 1 THEN LEAVE txg; END IF;"


def parse_dependencies(value: str | bytes | int | None) -> frozenset[int] | None:
    """The writers in `@txg_deps`. None: too many to list, depend on everything undecided on the shard."""
    listed = value.decode() if isinstance(value, bytes) else "" if value is None else str(value)
    if listed == EVERYTHING:
        return None
    return frozenset(int(writer) for writer in listed.split(",") if writer)


def trigger_statements(table: ManagedTable, flavour: Flavour) -> dict[str, str]:
    """CREATE TRIGGER statements by trigger name."""
    bodies = trigger_bodies(table, flavour)
    return {
        name: f"CREATE TRIGGER {quote(table.schema)}.{quote(name)} {when} ON {table.source} FOR EACH ROW {body}"
        for name, (when, body) in bodies.items()
    }


def trigger_bodies(table: ManagedTable, flavour: Flavour) -> dict[str, tuple[str, str]]:
    """By trigger name: its time and event, and its body (ACTION_STATEMENT of information_schema)."""
    return {
        table.trigger_name("bi"): ("BEFORE INSERT", _before_insert(table)),
        table.trigger_name("ai"): ("AFTER INSERT", _after_insert(table)),
        table.trigger_name("bu"): ("BEFORE UPDATE", _before_update(table)),
        table.trigger_name("au"): ("AFTER UPDATE", _after_update(table, flavour)),
        table.trigger_name("ad"): ("AFTER DELETE", _after_delete(table)),
    }


def _body(*steps: str) -> str:
    lines = [step for step in steps if step]
    return "txg: BEGIN\n  " + "\n  ".join(lines) + "\nEND"


def _unless_usual(unusual: str, *steps: str) -> str:
    """`steps` where something is unusual. One look at everything: a server takes its time for each IF of a trigger."""
    return f"IF {unusual} THEN\n  " + "\n  ".join(step for step in steps if step) + "\n  END IF;"


def _before_insert(table: ManagedTable) -> str:
    return _body(
        _unless_usual(
            f"{_UNGUARDED} OR @txg_read_ts IS NOT NULL",
            _GUARD,
            f"IF @txg_read_ts IS NOT NULL THEN\n    {_remember_clash(table)}\n  END IF;",
        ),
        f"SET NEW.{WRITER} = @txg_start_ts;",
    )


def _after_insert(table: ManagedTable) -> str:
    return _body(
        _unless_usual("@txg_bypass = 1 OR @txg_read_ts IS NOT NULL", _BYPASS, _raise_clash(table)),
        _mark_inserted(table),
    )


def _before_update(table: ManagedTable) -> str:
    clash = f"IF @txg_read_ts IS NOT NULL AND NOT ({_same_key(table)}) THEN\n    {_remember_clash(table)}\n  END IF;"
    return _body(
        _unless_usual(
            f"{_UNGUARDED} OR OLD.{WRITER} >= @txg_floor OR NOT ({_same_constrained(table)})",
            _GUARD,
            _check_writer(),
            # [R4] The new value may be one that an undecided transaction has freed.
            f"IF NOT ({_same_constrained(table)}) THEN SET @txg_deps = '{EVERYTHING}'; END IF;",
            clash,
        ),
        f"SET NEW.{WRITER} = IF({_unchanged(table)}, OLD.{WRITER}, @txg_start_ts);",
    )


def _after_update(table: ManagedTable, flavour: Flavour) -> str:
    moved = f"""IF NOT ({_same_key(table)}) THEN
    {_raise_clash(table)}
    {_mark_inserted(table)}
  END IF;"""
    return _body(
        _unless_usual(
            f"@txg_bypass = 1 OR NOT ({_same_constrained(table)})",
            _BYPASS,
            _leave_if_skipped(table) if flavour is Flavour.MARIADB else "",
            moved,
        ),
        f"""IF NEW.{WRITER} <> OLD.{WRITER} THEN
    {_save_old(table, f"IF({_same_key(table)}, '{Operation.UPDATED.value}', '{Operation.DELETED.value}')")}
  END IF;""",
    )


def _after_delete(table: ManagedTable) -> str:
    return _body(
        _unless_usual(
            f"{_UNGUARDED} OR OLD.{WRITER} >= @txg_floor",
            _GUARD,
            f"IF OLD.{WRITER} = @txg_start_ts THEN LEAVE txg; END IF;",
            _check_writer(),
        ),
        _save_old(table, f"'{Operation.DELETED.value}'"),
    )


def _leave_if_skipped(table: ManagedTable) -> str:
    """After an UPDATE the row of the old key and writer is gone, or else nothing is to be kept."""
    still_there = " AND ".join(f"_txg_t.{quote(name)} = OLD.{quote(name)}" for name in table.primary_key)
    return f"""IF NOT ({_same_constrained(table)}) THEN
    SELECT COUNT(*) INTO @txg_count FROM {table.source} AS _txg_t
      WHERE {still_there} AND _txg_t.{WRITER} = OLD.{WRITER};
    IF @txg_count > 0 THEN LEAVE txg; END IF;
  END IF;"""


def _check_writer() -> str:
    """[R4] collect the replaced writer, [R1] first committer wins."""
    return f"""IF OLD.{WRITER} >= @txg_floor AND OLD.{WRITER} <> @txg_start_ts THEN
    IF FIND_IN_SET(OLD.{WRITER}, @txg_deps) = 0 OR @txg_deps IS NULL THEN
      SET @txg_deps = IF(CHAR_LENGTH(@txg_deps) > {_MAX_DEPENDENCIES} OR @txg_deps = '{EVERYTHING}',
        '{EVERYTHING}', CONCAT_WS(',', @txg_deps, OLD.{WRITER}));
    END IF;
    IF @txg_read_ts IS NOT NULL THEN
      SELECT COUNT(*) INTO @txg_count FROM {_TXN} AS _txg_t
        WHERE _txg_t.start_ts = OLD.{WRITER} AND _txg_t.state = 'C' AND _txg_t.commit_ts <= @txg_read_ts;
      IF @txg_count = 0 THEN {_CONFLICT}; END IF;
    END IF;
  END IF;"""


def _remember_clash(table: ManagedTable) -> str:
    """[R1] for a key that is new: in the view although it could be inserted, or changed by a too-new writer."""
    in_view = " AND ".join(f"_txg_t.{quote(name)} = NEW.{quote(name)}" for name in table.primary_key)
    in_history = " AND ".join(f"_txg_h.{quote(name)} = NEW.{quote(name)}" for name in table.primary_key)
    return f"""SELECT COUNT(*) INTO @txg_count FROM {table.source} AS _txg_t WHERE {in_view};
    IF @txg_count = 0 AND @txg_too_new = 1 THEN
      SELECT COUNT(*) INTO @txg_count FROM {_TXN} AS _txg_t JOIN {table.history} AS _txg_h
        ON _txg_h.{NEXT} = _txg_t.start_ts AND {in_history}
        WHERE _txg_t.commit_ts > @txg_read_ts AND _txg_t.state = 'C' AND _txg_h.{OPERATION} <> 'I';
    END IF;
    {_remember_automatic(table)}SET @txg_clash = @txg_count;"""


def _raise_clash(table: ManagedTable) -> str:
    own = " AND ".join(f"{quote(name)} = NEW.{quote(name)}" for name in table.primary_key)
    automatic = _automatic(table)
    given = f" AND NEW.{quote(automatic)} <=> @txg_clash_key" if automatic else ""
    return f"""IF @txg_read_ts IS NOT NULL AND @txg_clash > 0{given} THEN
    SELECT COUNT(*) INTO @txg_count FROM {table.history} WHERE {NEXT} = @txg_start_ts AND {own};
    IF @txg_count = 0 THEN {_CONFLICT}; END IF;
  END IF;"""


def _remember_automatic(table: ManagedTable) -> str:
    """A key that the server is still to choose reads as 0 before the INSERT: what was found is not its row."""
    automatic = _automatic(table)
    return f"SET @txg_clash_key = NEW.{quote(automatic)};\n    " if automatic else ""


def _automatic(table: ManagedTable) -> str | None:
    """The AUTO_INCREMENT column, when it is in the primary key."""
    return next((c.name for c in table.columns if c.auto_increment and c.name in table.primary_key), None)


def _mark_inserted(table: ManagedTable) -> str:
    """A D that this transaction left of the same key stays: it holds the row to put back."""
    keys = quoted_list(table.primary_key)
    new = quoted_list(table.primary_key, "NEW")
    return (
        f"INSERT INTO {table.history} ({NEXT}, {keys}, {WRITER}, {OPERATION}) VALUES "
        f"(@txg_start_ts, {new}, @txg_start_ts, '{Operation.INSERTED.value}') "
        f"ON DUPLICATE KEY UPDATE {OPERATION} = {OPERATION};"
    )


def _save_old(table: ManagedTable, operation: str) -> str:
    names = quoted_list(table.column_names)
    old = quoted_list(table.column_names, "OLD")
    return (
        f"INSERT INTO {table.history} ({NEXT}, {WRITER}, {OPERATION}, {names}) VALUES "
        f"(@txg_start_ts, OLD.{WRITER}, {operation}, {old});"
    )


def _unchanged(table: ManagedTable) -> str:
    """Generated columns follow from the others."""
    return " AND ".join(_same(column) for column in table.columns if not column.generated)


def _same_key(table: ManagedTable) -> str:
    """Whether history has one key or two for the old and the new row: as the key's own collation sees it."""
    return " AND ".join(f"OLD.{quote(name)} = NEW.{quote(name)}" for name in table.primary_key)


def _same_constrained(table: ManagedTable) -> str:
    """Whether nothing changes in the columns on which a key may refuse a value."""
    return " AND ".join(f"OLD.{quote(name)} <=> NEW.{quote(name)}" for name in table.constrained)


def _same(column: ManagedColumn) -> str:
    """Whether OLD and NEW hold the same bytes in this column."""
    old, new = f"OLD.{quote(column.name)}", f"NEW.{quote(column.name)}"
    match column.category:
        case Category.CHARACTER:
            return f"CONVERT({old} USING binary) <=> CONVERT({new} USING binary)"
        case Category.ENUMERATED:  # by index: the text of an invalid member is that of ''
            return f"CAST({old} AS UNSIGNED) <=> CAST({new} AS UNSIGNED)"
        case Category.TIMESTAMP:  # two moments share one local time when the clock is set back
            return f"{old} <=> {new} AND UNIX_TIMESTAMP({old}) <=> UNIX_TIMESTAMP({new})"
        case Category.FLOAT:  # 0 and -0 are equal
            return f"{old} <=> {new} AND ({old} <> 0 OR CAST({old} AS CHAR) <=> CAST({new} AS CHAR))"
        case _:
            return f"{old} <=> {new}"
