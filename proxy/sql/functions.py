"""What planning must know of functions by name. Source: MySQL 8.0 manual, "Built-In Function Reference"."""

from __future__ import annotations

from proxy.sql.template import SessionKind

AGGREGATES = frozenset(
    "COUNT SUM MIN MAX AVG BIT_AND BIT_OR BIT_XOR GROUP_CONCAT STD STDDEV STDDEV_POP STDDEV_SAMP VAR_POP VAR_SAMP "
    "VARIANCE JSON_ARRAYAGG JSON_OBJECTAGG ST_COLLECT ANY_VALUE".split()
)

SESSION_FUNCTIONS: dict[str, SessionKind] = {
    "LAST_INSERT_ID": SessionKind.LAST_INSERT_ID,
    "ROW_COUNT": SessionKind.ROW_COUNT,
    "FOUND_ROWS": SessionKind.FOUND_ROWS,
    "CONNECTION_ID": SessionKind.CONNECTION_ID,
    "USER": SessionKind.USER,
    "SESSION_USER": SessionKind.USER,
    "SYSTEM_USER": SessionKind.USER,
    "CURRENT_USER": SessionKind.CURRENT_USER,
    "DATABASE": SessionKind.DATABASE,
    "SCHEMA": SessionKind.DATABASE,
}

REFUSED = frozenset(
    "GET_LOCK RELEASE_LOCK RELEASE_ALL_LOCKS IS_FREE_LOCK IS_USED_LOCK MASTER_POS_WAIT SOURCE_POS_WAIT "
    "MASTER_GTID_WAIT WAIT_FOR_EXECUTED_GTID_SET WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS LOAD_FILE NEXTVAL LASTVAL SETVAL "
    "SYS_EXEC SYS_EVAL PS_CURRENT_THREAD_ID PS_THREAD_ID CURRENT_ROLE EXTRACTVALUE_NS".split()
)
"""What they say or do is of one server only, or reaches outside of the tables."""

CHANGING = frozenset("RAND UUID UUID_SHORT UUID_V4 UUID_V7 SYS_GUID SLEEP RANDOM_BYTES".split())
"""Another value at each call."""

CLOCK = frozenset(
    "NOW CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP CURRENT_DATE CURDATE CURRENT_TIME CURTIME SYSDATE UTC_DATE "
    "UTC_TIME UTC_TIMESTAMP UNIX_TIMESTAMP".split()
)
"""Another value on each shard. UNIX_TIMESTAMP(x) and the like are counted among them: they are rare in writes."""
