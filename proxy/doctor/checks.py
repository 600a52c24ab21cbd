"""The checks: functions from what servers say about themselves to findings. No input or output.

To add one write the function, give it a line in `PER_SERVER` or `OVER_ALL`, and a case in its test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from proxy.config import Config
from proxy.doctor.facts import ServerFacts
from proxy.doctor.findings import Finding, Severity
from proxy.doctor.privileges import check_privileges, check_triggers

OLDEST_MYSQL = (8, 0, 23)
OLDEST_MARIADB = (10, 5, 2)
_LARGEST_SKEW_MS = 1_000
_CONNECTIONS_LEFT_FOR_OTHERS = 10

MUST_BE_EQUAL = (
    "sql_mode",
    "time_zone",
    "character_set_server",
    "collation_server",
    "lower_case_table_names",
    "explicit_defaults_for_timestamp",
    "div_precision_increment",
    "max_sort_length",
)
"""Differences here make one statement mean two things."""


def check_version(facts: ServerFacts) -> Iterator[Finding]:
    """Invisible columns and what else the managed tables are made of (MySQL 8.0.23)."""
    oldest = OLDEST_MARIADB if facts.is_mariadb else OLDEST_MYSQL
    if facts.version < oldest:
        wanted = ".".join(map(str, oldest))
        yield _error(
            facts,
            "version",
            f"{facts.product} is too old: TxGuard needs invisible columns and what came with them",
            f"upgrade to {'MariaDB' if facts.is_mariadb else 'MySQL'} {wanted} or newer",
        )


def check_writable(facts: ServerFacts) -> Iterator[Finding]:
    for variable in ("super_read_only", "read_only"):
        if facts.is_on(variable):
            yield _error(
                facts,
                "writable",
                f"{variable} is on: this is a replica, or a primary being moved",
                f"configure the primary's address, or SET GLOBAL {variable} = OFF",
            )
            return


def check_durability(facts: ServerFacts) -> Iterator[Finding]:
    """A participant that forgets an acknowledged commit record disagrees with the others for ever."""
    flush = facts.variables.get("innodb_flush_log_at_trx_commit", "1")
    if flush == "0":
        yield _error(
            facts,
            "durability",
            "innodb_flush_log_at_trx_commit = 0: a crash of the server loses acknowledged commits",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1 (and in the server's configuration file)",
        )
    elif flush == "2":
        yield _warning(
            facts,
            "durability",
            "innodb_flush_log_at_trx_commit = 2: a power cut loses acknowledged commits, on this shard only",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1 (and in the server's configuration file)",
        )
    if facts.is_on("log_bin") and facts.variables.get("sync_binlog", "1") != "1":
        yield _warning(
            facts,
            "durability",
            f"sync_binlog = {facts.variables['sync_binlog']}: a power cut loses commits that the binary log "
            "had not on disk yet, on this shard only",
            "SET GLOBAL sync_binlog = 1 (and in the server's configuration file)",
        )


def check_binary_log(facts: ServerFacts) -> Iterator[Finding]:
    """Under any other format the triggers' SELECTs become locking reads: `txguard.engine.managed` refuses it."""
    format_ = facts.variables.get("binlog_format", "ROW")
    if facts.is_on("log_bin") and format_.upper() != "ROW":
        yield _error(
            facts,
            "binary log",
            f"log_bin is on and binlog_format = {format_}: every statement on a managed table would lock the "
            "rows that its triggers read, so such tables are refused",
            "SET GLOBAL binlog_format = ROW (and in the server's configuration file)",
        )


def check_engine(facts: ServerFacts) -> Iterator[Finding]:
    """InnoDB, and nothing that changes what its transactions do behind the engine's back."""
    if (engine := facts.variables.get("default_storage_engine", "InnoDB")).lower() != "innodb":
        yield _error(
            facts,
            "engine",
            f"default_storage_engine = {engine}: new tables would have no transactions",
            "SET GLOBAL default_storage_engine = InnoDB (and in the server's configuration file)",
        )
    if facts.is_on("innodb_rollback_on_timeout"):
        yield _error(
            facts,
            "engine",
            "innodb_rollback_on_timeout is on: a lock wait that times out would undo a whole local transaction "
            "where error 1205 promises to undo one statement",
            "remove innodb_rollback_on_timeout from the server's configuration file and restart it",
        )
    if facts.is_on("innodb_snapshot_isolation"):  # MariaDB's default since 11.6
        yield _error(
            facts,
            "engine",
            "innodb_snapshot_isolation is on: a write conflict would undo a whole local transaction (error 1020) "
            "before TxGuard can end the transaction on the other shards",
            "SET GLOBAL innodb_snapshot_isolation = OFF (and in the server's configuration file): TxGuard does "
            "its own conflict check",
        )
    if facts.variables.get("completion_type", "NO_CHAIN") not in ("NO_CHAIN", "0"):
        yield _error(
            facts,
            "engine",
            f"completion_type = {facts.variables['completion_type']}: COMMIT would begin another transaction",
            "SET GLOBAL completion_type = NO_CHAIN (and in the server's configuration file)",
        )


def check_connections(facts: ServerFacts) -> Iterator[Finding]:
    allowed = int(facts.variables.get("max_connections", "151"))
    limit = "max_connections"
    per_user = int(facts.variables.get("max_user_connections", "0"))
    if 0 < per_user < allowed:
        allowed, limit = per_user, "max_user_connections"
    if facts.max_connections + _CONNECTIONS_LEFT_FOR_OTHERS > allowed:
        yield _warning(
            facts,
            "connections",
            f"the proxy may open {facts.max_connections} connections, the server's {limit} is {allowed} "
            f"({_CONNECTIONS_LEFT_FOR_OTHERS} should stay for others): under load clients will get error 1040",
            f"SET GLOBAL {limit} = {facts.max_connections + 50}, or lower max_connections of [[shards]] "
            f"{facts.shard} to {max(4, allowed - _CONNECTIONS_LEFT_FOR_OTHERS)}",
        )


def check_clock(facts: ServerFacts) -> Iterator[Finding]:
    """The protocol does not read the servers' clocks; NOW() does."""
    if abs(facts.clock_offset_ms) > _LARGEST_SKEW_MS:
        yield _warning(
            facts,
            "clock",
            f"its clock is {facts.clock_offset_ms / 1000:+.1f} s off this machine's: NOW() differs between shards",
            "run an NTP client (chrony, systemd-timesyncd) on both",
        )


def check_packets(facts: ServerFacts, config: Config) -> Iterator[Finding]:
    allowed = int(facts.variables.get("max_allowed_packet", "0"))
    if 0 < allowed < config.proxy.max_packet_bytes:
        yield _warning(
            facts,
            "packets",
            f"max_allowed_packet is {allowed:,} bytes, the proxy takes {config.proxy.max_packet_bytes:,} from a "
            "client: larger statements fail with error 1153 here",
            f"SET GLOBAL max_allowed_packet = {config.proxy.max_packet_bytes}, or lower [proxy] max_packet_bytes",
        )


def check_same_product(servers: Sequence[ServerFacts]) -> Iterator[Finding]:
    if len({facts.is_mariadb for facts in servers}) > 1:
        yield Finding(
            Severity.ERROR,
            None,
            "same product",
            f"MySQL and MariaDB side by side: {_spread(servers, lambda facts: facts.product)}",
            "use one product for all shards: types, collations and functions differ between the two",
        )
    elif len({facts.version[:2] for facts in servers}) > 1:
        yield Finding(
            Severity.WARNING,
            None,
            "same product",
            f"different release series: {_spread(servers, lambda facts: facts.product)}",
            "finish the upgrade; until then use only what the oldest one knows",
        )


def check_equal(servers: Sequence[ServerFacts]) -> Iterator[Finding]:
    names = list(MUST_BE_EQUAL)
    if any(facts.variables.get("time_zone") == "SYSTEM" for facts in servers):
        names.append("system_time_zone")
    for name in names:

        def value(facts: ServerFacts, name: str = name) -> str:
            text = facts.variables.get(name, "")
            return ",".join(sorted(text.split(","))) if name == "sql_mode" else text

        if len({value(facts) for facts in servers}) > 1:
            setting = "time_zone" if name == "system_time_zone" else name
            yield Finding(
                Severity.ERROR,
                None,
                "equal",
                f"{name} must be equal on all shards: {_spread(servers, value)}",
                f"set {setting} to one value in every server's configuration file and restart those that change"
                + (" (for example '+00:00')" if setting == "time_zone" else ""),
            )


PER_SERVER: tuple[Callable[[ServerFacts], Iterator[Finding]], ...] = (
    check_version,
    check_privileges,
    check_triggers,
    check_writable,
    check_durability,
    check_binary_log,
    check_engine,
    check_connections,
    check_clock,
)
OVER_ALL: tuple[Callable[[Sequence[ServerFacts]], Iterator[Finding]], ...] = (check_same_product, check_equal)


def run_checks(servers: Sequence[ServerFacts], config: Config) -> list[Finding]:
    """Everything that the servers' own words show; one OK for each server that nothing is wrong with."""
    findings: list[Finding] = []
    for facts in servers:
        found = [finding for check in PER_SERVER for finding in check(facts)]
        found += check_packets(facts, config)
        findings += found or [_ok(facts)]
    for over_all in OVER_ALL:
        findings += over_all(servers)
    return findings


def _spread(servers: Sequence[ServerFacts], value: Callable[[ServerFacts], str]) -> str:
    """The value of the most and those of the others: "'A' on s1, s2; 'B' on s3"."""
    counted = Counter(value(facts) for facts in servers)
    return "; ".join(
        f"{text!r} on {', '.join(facts.shard for facts in servers if value(facts) == text)}"
        for text, _ in counted.most_common()
    )


def _ok(facts: ServerFacts) -> Finding:
    return Finding(Severity.OK, facts.shard, "server", f"{facts.product} at {facts.address}: nothing to mend")


def _error(facts: ServerFacts, check: str, text: str, remedy: str) -> Finding:
    return Finding(Severity.ERROR, facts.shard, check, text, remedy)


def _warning(facts: ServerFacts, check: str, text: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, facts.shard, check, text, remedy)
