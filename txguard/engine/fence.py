"""Fencing: what a new epoch does to a shard before it is used.

The rule: once the older epochs' views are gone, no commit record of an older coordinator can appear on the shard;
what those coordinators left undecided is then handed to the oracle, so that readers wait for it, and to the janitor.
A crash half-way leaves an extra view or none: the next epoch repeats all of it. Source: docs/protocol.md, "Fencing".
"""

from __future__ import annotations

from tso.api import Leader
from tso.types import Timestamp
from txguard.engine.blockers import kill_transactions_of_own_user
from txguard.engine.install import create_epoch_view, drop_older_epoch_views, install, list_epoch_views
from txguard.engine.settings import EngineSettings
from txguard.engine.shard import Connection
from txguard.engine.undecided import UNDECIDED, parse_participants


async def fence(connection: Connection, leader: Leader, settings: EngineSettings) -> int:
    """Make the shard this epoch's own; answers how many undecided transactions were found on it."""
    timeout_s = settings.control_timeout_s
    await install(connection, timeout_s)
    await create_epoch_view(connection, leader.epoch, timeout_s)
    if min(await list_epoch_views(connection, timeout_s)) < leader.epoch:
        # Local transactions of a dead coordinator would make DROP VIEW wait, and hold row locks that nobody ends.
        # Where this epoch's view stands alone another proxy of this epoch was here first, and works on the shard.
        await kill_transactions_of_own_user(connection, settings)
        await drop_older_epoch_views(connection, leader.epoch, timeout_s)
    return await adopt_undecided(connection, leader, settings)


async def adopt_undecided(connection: Connection, leader: Leader, settings: EngineSettings) -> int:
    """Make everything outstanding at the oracle that this shard does not know to be decided."""
    answers = await connection.run([UNDECIDED], settings.control_timeout_s)
    for start_ts, commit_ts, participants, _ in answers[0].rows:
        await leader.adopt(
            Timestamp(int(start_ts or 0)), Timestamp(int(commit_ts or 0)), parse_participants(participants)
        )
    return len(answers[0].rows)
