"""Data definition on all shards at once, such that a crash leaves nothing half done.

- **Ddl** (`ddl.py`): runs one planned statement; what the session calls.
- **Workshop** (`workshop.py`): the lock that lets one statement run at a time, work on several shards, timestamps.
- **Intent** (`intents.py`): what a statement is about to do, written down first. **Recovery** (`recovery.py`) finishes
  or undoes the one that a crash left behind.
- **Hint** (`hints.py`): where the author or the operator wants a table to go. **Placement** (`placement.py`): where it
  goes, or why it cannot be.
- One file for each statement: `create_table.py`, `drop_table.py` (TRUNCATE too), `databases.py`, `indexes.py`, and
  `adopt.py` for a table that is there already.

A table exists when the catalog has its row: the row is the last step of CREATE and goes with the first of DROP.
"""

from proxy.ddl.ddl import Ddl, DdlResult
from proxy.ddl.hints import Hint
from proxy.ddl.workshop import Client, Workshop

__all__ = ["Client", "Ddl", "DdlResult", "Hint", "Workshop"]
