"""A write of one shard by whole primary keys, sent from where the client's packet was read: no task, no await.

`send` may decline; `stands` says whether the reply is the plain, expected one. Whatever is not goes to
`Transaction.write` as its `first` try, which does all the rest. The rules are those of `writing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tso.clock import MAX_TIMESTAMP
from tso.types import ShardName
from txguard.engine.branch import Branch, Isolation
from txguard.engine.relay import OnReply
from txguard.engine.shard import Reply
from txguard.engine.states import TransactionState

if TYPE_CHECKING:
    from txguard.engine.transaction_base import TransactionBase


@dataclass(frozen=True, slots=True)
class FirstTry:
    """What became of a write that was sent without a wait: one of both is given."""

    reply: Reply | None
    error: Exception | None


def send(txn: TransactionBase, shard: ShardName, statement: Any, on_reply: OnReply) -> bool:
    """False: declined, the statement has not been sent. Raises ConnectionLost likewise."""
    branch = ready_branch(txn, shard)
    if branch is None:
        return False
    branch.token = txn.engine.tso.read_token_nowait(shard)
    branch.connection.relay_nowait(statement, on_reply, prefix=txn.opening(branch))
    return True


def ready_branch(txn: TransactionBase, shard: ShardName) -> Branch | None:
    """The transaction's branch on the shard, opened by the next packet at the latest; None: not without a wait."""
    if txn.state is not TransactionState.ACTIVE or txn.isolation is Isolation.READ_COMMITTED:
        return None
    branch = txn.branches.get(shard)
    if txn.read_ts is not None and (branch is None or not branch.view_open):
        return None
    if branch is not None:
        return branch
    connection = txn.connections.acquire_nowait(shard) if txn.engine.is_fenced(shard) else None
    if connection is None:
        return None
    if txn.start_ts is None:
        epoch = txn.engine.tso.epoch
        begun = txn.engine.tso.begin_nowait()
        if begun is None:
            txn.connections.release(shard, connection)
            return None
        txn.epoch = epoch
        txn.start_ts, txn.floor = begun
    branch = txn.branches[shard] = Branch(shard, connection)
    return branch


def stands(txn: TransactionBase, shard: ShardName, reply: Reply, expected_rows: int) -> bool:
    """Whether every row that the statement names was found and changed: it has then looked at no other."""
    if reply.error is not None or reply.affected_rows != expected_rows or reply.has_rows:
        return False
    txn.branches[shard].wrote = True
    note_written(txn)
    return True


def note_written(txn: TransactionBase) -> None:
    """Every write has been answered now: a commit that begins later released no row that they saw [R4]."""
    latest = txn.engine.tso.latest_nowait()
    txn.written_by = MAX_TIMESTAMP if latest is None else latest
