"""The client's savepoints over the branches of a transaction.

The rule: a branch that opened after a savepoint was set has nothing to come back to, so a roll-back to it ends that
branch's local transaction. Not so under SERIALIZABLE, where what was read must stay locked: there a branch begins with
the savepoints that were set before it. Names are compared as MySQL does: without case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txguard.engine.concurrent import gather
from txguard.engine.sqltext import quote

if TYPE_CHECKING:
    from txguard.engine.transaction import Transaction


def key(name: str) -> str:
    return name.lower()


async def savepoint(txn: Transaction, name: str) -> None:
    """On the branches that are open. One of the same name is replaced."""
    name = key(name)
    opened = [branch for branch in txn.branches.values() if branch.opened]
    await gather([txn.run(branch, [f"SAVEPOINT {quote(name)}"]) for branch in opened])
    for savepoints in (txn.savepoints, *(branch.savepoints for branch in opened)):
        if name in savepoints:
            savepoints.remove(name)
        savepoints.append(name)


async def rollback_to(txn: Transaction, name: str) -> None:
    name = key(name)
    later = txn.savepoints[txn.savepoints.index(name) + 1 :]
    for shard, branch in list(txn.branches.items()):
        if name not in branch.savepoints:
            await txn.end_branch(txn.branches.pop(shard), "ROLLBACK")
            continue
        await txn.run(branch, [f"ROLLBACK TO SAVEPOINT {quote(name)}"])
        branch.savepoints = [s for s in branch.savepoints if s not in later]
        if branch.view_open and branch.view_depth > branch.savepoints.index(name):
            branch.view_open = False  # InnoDB may have dropped it: the next statement looks again.
    txn.savepoints = [s for s in txn.savepoints if s not in later]


async def release_savepoint(txn: Transaction, name: str) -> None:
    name = key(name)
    at = txn.savepoints.index(name)
    gone = txn.savepoints[at:]
    for branch in txn.branches.values():
        if name in branch.savepoints:
            await txn.run(branch, [f"RELEASE SAVEPOINT {quote(name)}"])
        branch.savepoints = [s for s in branch.savepoints if s not in gone]
    txn.savepoints = txn.savepoints[:at]
