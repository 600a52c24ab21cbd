"""Where rows live: the catalog of tables, and from a key's value to the shard that holds it.

- **Slot** (`slots.py`): one of 4,096 hash values; contiguous ranges of them lie on the shards.
- **Shard key** (`keys.py`): the column whose value picks the slot. Its **codec** brings values into **canonical form**,
  in which those that the column calls equal are the same bytes (`numbers.py`, `temporal.py`, `text.py`).
- **Weights** (`collations.py`, `weights.py`): what makes two texts equal under a collation. Of ASCII they are known
  here; for other texts a shard is asked once.
- **Table** (`tables.py`): sharded, reference (on every shard) or single (on its **home**).
- **Catalog** (`catalog.py`): an immutable snapshot of all tables and slots, which routes keys. The **store**
  (`catalog_store.py`) loads, repairs, changes and publishes it; every shard has a copy, the **authority**'s counts.
- **Facts** (`table_facts.py`): what a server's information_schema says of a table.
- **Sequence** (`sequences.py`): AUTO_INCREMENT's values, taken in ranges from a stored counter.
"""

from proxy.routing.catalog import Catalog
from proxy.routing.catalog_store import CatalogStore
from proxy.routing.sequences import Sequences
from proxy.routing.slots import SLOTS, SlotMap
from proxy.routing.tables import Column, Table, TableKind
from proxy.routing.values import KeyValue

__all__ = [
    "SLOTS",
    "Catalog",
    "CatalogStore",
    "Column",
    "KeyValue",
    "Sequences",
    "SlotMap",
    "Table",
    "TableKind",
]
