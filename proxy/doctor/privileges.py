"""Whether the account may do what the proxy does on a shard, read off its own SHOW GRANTS.

The proxy creates databases, managed tables with their triggers, and `_txguard`; so it needs these privileges on
*.*. Grants on single databases are not counted. Privileges that come through roles do not show in SHOW GRANTS:
an account that lacks some but has roles gets a warning, not an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from proxy.doctor.facts import ServerFacts
from proxy.doctor.findings import Finding, Severity

NEEDED = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "ALTER",
    "INDEX",
    "REFERENCES",
    "TRIGGER",
    "CREATE VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EXECUTE",
    "LOCK TABLES",
    "PROCESS",
)
"""Less obvious ones: REFERENCES for foreign keys (MySQL's 1142), LOCK TABLES for replacing triggers, PROCESS for
seeing whose transactions are open: no shard can be fenced without it (1227)."""

_GLOBAL_GRANT = re.compile(r"^GRANT (?P<privileges>.+?) ON \*\.\* TO ", re.IGNORECASE)
_ROLE_GRANT = re.compile(r"^GRANT (?!.* ON )", re.IGNORECASE)


def global_privileges(grants: Sequence[str]) -> frozenset[str]:
    """The privileges on *.*, in capitals; "ALL PRIVILEGES" stays that one word."""
    found: set[str] = set()
    for grant in grants:
        if match := _GLOBAL_GRANT.match(grant):
            found.update(privilege.strip().upper() for privilege in match["privileges"].split(","))
    return frozenset(found)


def check_privileges(facts: ServerFacts) -> Iterator[Finding]:
    granted = global_privileges(facts.grants)
    if "ALL PRIVILEGES" in granted or "ALL" in granted:
        return
    has_roles = any(_ROLE_GRANT.match(grant) for grant in facts.grants)
    if missing := [privilege for privilege in NEEDED if privilege not in granted]:
        yield Finding(
            Severity.WARNING if has_roles else Severity.ERROR,
            facts.shard,
            "privileges",
            f"the account lacks {', '.join(missing)} on *.*"
            + (" (unless a role gives it)" if has_roles else ""),
            f"GRANT {', '.join(missing)} ON *.* TO the account of [[shards]] {facts.shard}",
        )


def check_triggers(facts: ServerFacts) -> Iterator[Finding]:
    """Under a binary log CREATE TRIGGER needs SUPER or log_bin_trust_function_creators (errors 1419, 1227)."""
    if not facts.is_on("log_bin") or facts.is_on("log_bin_trust_function_creators"):
        return
    if not global_privileges(facts.grants) & {"SUPER", "ALL PRIVILEGES", "ALL"}:
        yield Finding(
            Severity.ERROR,
            facts.shard,
            "triggers",
            "log_bin is on, log_bin_trust_function_creators is off: this account may not create triggers",
            "SET GLOBAL log_bin_trust_function_creators = ON (and in the server's configuration file)",
        )
