"""The `_txguard` database that every shard holds, and the epoch views that fence old leaders.

Owns: the definitions of its tables but the oracle's and the catalog's (docs/protocol.md, "What is stored on a shard"),
and of each epoch's view `commit_<epoch>` and procedures `prewrite_<epoch>…` ("Fencing").
Everything here may be run again at any time: a crash between two statements leaves a part of it, which the next run
completes.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from txguard.engine.shard import Connection

DATABASE: Final = "_txguard"

_OPTIONS: Final = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

CREATE_VERDICT: Final = f"""CREATE TABLE IF NOT EXISTS `{DATABASE}`.`verdict` (
  `start_ts` BIGINT UNSIGNED NOT NULL,
  `commit_ts` BIGINT UNSIGNED NOT NULL,
  `outcome` CHAR(1) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `participants` VARCHAR(2048) NOT NULL,
  `lost` VARCHAR(2048) NOT NULL,
  `given_at` TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  `done` TINYINT NOT NULL DEFAULT 0,
  PRIMARY KEY (`start_ts`)
) {_OPTIONS}"""

_TABLES: Final = (
    # One commit record per transaction and participant, written once: C, or R for a tombstone.
    f"""CREATE TABLE IF NOT EXISTS `{DATABASE}`.`txn` (
  `start_ts` BIGINT UNSIGNED NOT NULL,
  `commit_ts` BIGINT UNSIGNED NOT NULL,
  `state` CHAR(1) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `participants` VARCHAR(2048) NULL,
  PRIMARY KEY (`start_ts`),
  KEY `commit_ts` (`commit_ts`)
) {_OPTIONS}""",
    # One row per cross-shard transaction that was not decided when the decided mark rose above it.
    f"""CREATE TABLE IF NOT EXISTS `{DATABASE}`.`txn_lock` (
  `start_ts` BIGINT UNSIGNED NOT NULL,
  `commit_ts` BIGINT UNSIGNED NOT NULL,
  `participants` VARCHAR(2048) NOT NULL,
  `created_at` TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  PRIMARY KEY (`start_ts`)
) {_OPTIONS}""",
    # One row: the decided mark (`decided.py`).
    f"""CREATE TABLE IF NOT EXISTS `{DATABASE}`.`decided` (
  `id` TINYINT UNSIGNED NOT NULL,
  `up_to` BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (`id`)
) {_OPTIONS}""",
    # What operators have decided by hand (`verdicts.py`).
    CREATE_VERDICT,
    # Every table that has a history, from before its triggers exist until after they are gone.
    f"""CREATE TABLE IF NOT EXISTS `{DATABASE}`.`managed` (
  `table_schema` VARCHAR(64) NOT NULL,
  `table_name` VARCHAR(64) NOT NULL,
  `history_name` VARCHAR(64) NOT NULL,
  `definition` TEXT NOT NULL,
  PRIMARY KEY (`table_schema`, `table_name`),
  UNIQUE KEY `history_name` (`history_name`)
) {_OPTIONS}""",
    # Tables that keep what is replaced for longer than others; and who wrote them, where the commit record is gone.
    f"""CREATE TABLE IF NOT EXISTS `{DATABASE}`.`retention` (
  `history_name` VARCHAR(64) NOT NULL,
  `retention_s` BIGINT UNSIGNED NOT NULL,
  `cleaned_to` BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (`history_name`)
) {_OPTIONS}""",
    f"""CREATE TABLE IF NOT EXISTS `{DATABASE}`.`kept` (
  `history_name` VARCHAR(64) NOT NULL,
  `start_ts` BIGINT UNSIGNED NOT NULL,
  `commit_ts` BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (`history_name`, `start_ts`),
  KEY `commit_ts` (`history_name`, `commit_ts`)
) {_OPTIONS}""",
    # One row: how many transactions have been undone here ([R5] through a remote oracle).
    f"""CREATE TABLE IF NOT EXISTS `{DATABASE}`.`rollback_counter` (
  `id` TINYINT UNSIGNED NOT NULL,
  `n` BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (`id`)
) {_OPTIONS}""",
)

ANY_MARK: Final = 0
SINGLE_SHARD_MARK: Final = 1
"""The `start_ts` of the two rows of `txn` that say how far it was cleaned (`marks.py`). No transaction has these."""

_FIRST_ROWS: Final = (
    # What was there before the mark was had lock records. (READ COMMITTED: to read `txn` without a lock.)
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    f"INSERT IGNORE INTO `{DATABASE}`.`decided` (`id`, `up_to`) "
    f"SELECT 1, COALESCE(MAX(`commit_ts`), 0) FROM `{DATABASE}`.`txn`",
    f"INSERT IGNORE INTO `{DATABASE}`.`rollback_counter` (`id`, `n`) VALUES (1, 0)",
    # Always there, so that whoever looks at them locks these rows, and no gap.
    f"INSERT IGNORE INTO `{DATABASE}`.`txn` (`start_ts`, `commit_ts`, `state`) "
    f"VALUES ({ANY_MARK}, 0, 'M'), ({SINGLE_SHARD_MARK}, 0, 'M')",
)

INSTALL_STATEMENTS: Final = (
    f"CREATE DATABASE IF NOT EXISTS `{DATABASE}` DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    *_TABLES,
    *_FIRST_ROWS,
)

HELD_BACK: Final = 9107
"""A prewrite's error: nothing has happened, the dependencies must be looked at first. No client sees it.

Its text is `@txg_deps`, or empty where that is longer than a text may be."""

_HOLD_BACK: Final = f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {HELD_BACK}, MESSAGE_TEXT ="
_GUARD: Final = (
    f"IF CHAR_LENGTH(@txg_deps) <= 128 THEN {_HOLD_BACK} @txg_deps; "
    f"ELSEIF @txg_deps IS NOT NULL THEN {_HOLD_BACK} ''; END IF; "
)
"""A MESSAGE_TEXT has 128 characters. Source: MySQL 8.0 manual, "SIGNAL Statement"."""

CLEAR_VARIABLES: Final = "SET @txg_start_ts=NULL,@txg_read_ts=NULL,@txg_too_new=NULL,@txg_deps=NULL"
"""What ends a transaction's right to write on a connection. The next one there sets what is not NULL, and no more."""

_EPOCH_LOCK: Final = "_txguard.epoch"
_EPOCH_LOCK_WAIT_S: Final = 10
_EPOCH_VIEW: Final = re.compile(r"commit_([0-9]+)")


class NewerEpoch(Exception):
    """A leader with a later epoch has already fenced this shard: the caller is no longer the leader."""


class EpochLockBusy(Exception):
    """Another process is creating an epoch view on this shard right now; try again."""


async def install(connection: Connection, timeout_s: float | None = None) -> None:
    """Create what is missing of the `_txguard` database. Idempotent.

    Nothing is missing, mostly, and then nothing is created: on MySQL a CREATE DATABASE IF NOT EXISTS waits for every
    open transaction that has used the database, and has all later ones wait behind it.
    """
    query = (
        f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{DATABASE}' "
        "AND TABLE_NAME IN ('txn', 'txn_lock', 'decided', 'verdict', 'managed', 'retention', 'kept', "
        "'rollback_counter')"
    )
    [found] = await connection.run([query], timeout_s)
    complete = int(found.rows[0][0] or 0) == len(_TABLES)
    await connection.run(_FIRST_ROWS if complete else INSTALL_STATEMENTS, timeout_s)


def epoch_view_name(epoch: int) -> str:
    return f"commit_{epoch}"


def epoch_view(epoch: int) -> str:
    """The quoted name under which a coordinator of this epoch inserts its commit records."""
    return f"`{DATABASE}`.`{epoch_view_name(epoch)}`"


def create_epoch_view_statement(epoch: int) -> str:
    """The view inserts into `txn` as its invoker: its only purpose is to have a name that can be dropped."""
    return (
        f"CREATE OR REPLACE ALGORITHM=MERGE SQL SECURITY INVOKER VIEW {epoch_view(epoch)} AS "
        f"SELECT `start_ts`, `commit_ts`, `state`, `participants` FROM `{DATABASE}`.`txn`"
    )


@functools.cache
def prewrite_procedure(epoch: int, *, guarded: bool) -> str:
    """The quoted name of the procedure that prewrites for a coordinator of this epoch."""
    return f"`{DATABASE}`.`prewrite_{epoch}{'_guarded' if guarded else ''}`"


def create_prewrite_statement(epoch: int, *, guarded: bool) -> str:
    """One statement in place of three: a server parses it once a connection, and answers once.

    An error of the INSERT (a tombstone, a dropped view) leaves it before the COMMIT, and who sees it fail drops the
    connection. The guarded one does nothing but raise HELD_BACK where the transaction has replaced versions that may
    be undecided [R4].

    A CALL takes its time for each parameter, most of all for a wide VARCHAR, for each statement and each variable that
    is set: `start_ts` is the connection's, and there is one IF where nothing is unusual. Cleared before the COMMIT,
    nothing is left to do behind the flush.
    """
    insert = (
        f"INSERT INTO {epoch_view(epoch)} (start_ts, commit_ts, state, participants) "
        "VALUES (@txg_start_ts, c, 'C', p)"
    )
    return (
        f"CREATE PROCEDURE {prewrite_procedure(epoch, guarded=guarded)}(IN c BIGINT UNSIGNED, IN p TEXT) "
        "SQL SECURITY INVOKER BEGIN "
        f"IF @txg_read_ts IS NULL AND @txg_deps IS NULL THEN {insert}; SET @txg_start_ts=NULL; "
        f"ELSE {_GUARD if guarded else ''}{insert}; {CLEAR_VARIABLES}; END IF; COMMIT; END"
    )


def _drop_prewrite_statements(epoch: int) -> list[str]:
    return [
        f"DROP PROCEDURE IF EXISTS {prewrite_procedure(epoch, guarded=guarded)}" for guarded in (False, True)
    ]


async def list_epoch_views(connection: Connection, timeout_s: float | None = None) -> list[int]:
    """The epochs that have a view on this shard, ascending."""
    query = f"SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{DATABASE}'"
    [views] = await connection.run([query], timeout_s)
    names = (_EPOCH_VIEW.fullmatch(_text(name)) for (name,) in views.rows)
    return sorted(int(name[1]) for name in names if name is not None)


async def create_epoch_view(connection: Connection, epoch: int, timeout_s: float | None = None) -> None:
    """Open this shard for the leader of `epoch`. Idempotent. Raises NewerEpoch when a later leader was here.

    The named lock makes look and creation one step: a leader that was overtaken in between would otherwise
    create its view after the new leader listed the old ones, and commit through it unfenced.
    """
    [taken] = await connection.run([f"SELECT GET_LOCK('{_EPOCH_LOCK}', {_EPOCH_LOCK_WAIT_S})"], timeout_s)
    if int(taken.rows[0][0] or 0) != 1:
        raise EpochLockBusy("another leader is opening this shard")
    try:
        views = await list_epoch_views(connection, timeout_s)
        if views and views[-1] > epoch:
            raise NewerEpoch(f"epoch {epoch} has been superseded by {views[-1]}")
        if epoch not in views:
            statements = [
                *_drop_prewrite_statements(epoch),
                create_prewrite_statement(epoch, guarded=False),
                create_prewrite_statement(epoch, guarded=True),
                create_epoch_view_statement(epoch),
            ]
            await connection.run(statements, timeout_s)
    finally:
        if not connection.closed:
            await connection.run([f"DO RELEASE_LOCK('{_EPOCH_LOCK}')"], timeout_s)


async def drop_older_epoch_views(connection: Connection, epoch: int, timeout_s: float | None = None) -> None:
    """Fence every earlier leader: afterwards no record of theirs can be inserted here, nor is one half-way in.

    DROP VIEW waits for the local transactions that have used the view. Call after `create_epoch_view`.
    """
    older = [old for old in await list_epoch_views(connection, timeout_s) if old < epoch]
    if older:
        procedures = [statement for old in older for statement in _drop_prewrite_statements(old)]
        views = f"DROP VIEW IF EXISTS {', '.join(map(epoch_view, older))}"
        await connection.run([*procedures, views], timeout_s)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
