"""The canonical form of keys against real servers: it must agree with the columns' own equality.

Three claims, each checked on columns of every supported kind:

- text: two strings are equal to the server exactly when their canonical forms are the same;
- look-ups: whatever row a server finds for `column = literal` has the canonical form that routing computes for the
  literal, unless routing asks every shard;
- insertion: whatever a server stores for a literal has the canonical form by which the row was placed.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable

import pytest

from proxy.errors import NotSupported
from proxy.playground.servers import ServerKind
from proxy.routing.collations import COLLATIONS, Weights
from proxy.routing.control import string
from proxy.routing.keys import KeyCodec, codec_for, needed_weights
from proxy.routing.table_facts import read_facts
from proxy.routing.values import Canonical, KeyValue, Verdict, WeightQuestion
from proxy.routing.weights import ServerWeights
from proxy.sql.operands import decode_literal
from tso.types import ShardName
from txguard.engine.aiomysql_shard import AiomysqlConnection, AiomysqlShard, Dsn
from txguard.engine.shard import ShardError

pytestmark = pytest.mark.timeout(300)

DATABASE = "txguard_hash_test"
STRICT = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'"

LETTERS = [*"aAbBzZ01 _-~'\"\\%\t\n\x00\x01\x7f.", *"éÉßẞæÆıİ\u00a0\u2000\u3000\u200b\u00adÅÅﬀ한日กñöüſK"]
LETTERS += [
    "e\u0301",
    "ss",
    "ae",
    "fi",
    "ﬁ",
    "ch",
    "ll",
    "เก",
    "A\u030a",
    "\u1112\u1161\u11ab",
    "\u0345",
    "ς",
    "σ",
    "Σ",
]
LETTERS += [
    "😀",
    "𝒜",
    "\ufffd",
    "\uffff",
    "\U0010ffff",
    "½",
    "1/2",
    "²",
    "№",
    "…",
    "Œ",
    "œ",
    "€",
    "Ž",
    "\u0085",
]
FEW = ["a", "A", " ", "\x01", "é", "e", "\u0301", "\u00a0", "\u200b", "\t"]


class Server:
    """One shard, its weights, and a connection for the comparison."""

    def __init__(self, shard: AiomysqlShard, connection: AiomysqlConnection, kind: ServerKind) -> None:
        self.connection, self.kind = connection, kind
        self.weights = ServerWeights({shard.name: shard}, timeout_s=10)

    async def rows(self, *statements: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in (await self.connection.run(statements, 60))[-1].rows]

    async def codec(self, definition: str) -> KeyCodec:
        """A fresh table `t` with a column `v` of this definition, and the codec of that column."""
        await self.rows(
            f"DROP TABLE IF EXISTS {DATABASE}.t", f"CREATE TABLE {DATABASE}.t (v {definition}, KEY (v))"
        )
        facts = await read_facts(self.connection, [(DATABASE, "t")], 10)
        [column] = facts[DATABASE, "t"].columns
        collation = needed_weights(column)
        await self.weights.fetch_tables([collation] if collation is not None else [])
        return codec_for(column, self.weights.tables)

    async def settle(self, canonical: Canonical) -> bytes | Verdict:
        if isinstance(canonical, WeightQuestion):
            answer = await self.weights.canonical(canonical)
            assert answer is not None
            return answer
        return canonical


@pytest.fixture
async def server(shard_servers, server_kind: ServerKind) -> AsyncIterator[Server]:
    first = shard_servers[0]
    shard = AiomysqlShard(ShardName("s1"), Dsn(first.host, first.port, password=first.password))
    async with shard.connection() as connection:
        await connection.run([STRICT, f"CREATE DATABASE IF NOT EXISTS {DATABASE}", f"USE {DATABASE}"], 20)
        yield Server(shard, connection, server_kind)
        await connection.run([f"DROP DATABASE {DATABASE}"], 20)
    shard.close()


def texts(character_set: str, count: int) -> list[str]:
    """Strings that are likely to be equal to one another, as far as the character set has them."""
    dice = random.Random(20)
    found = {"", " ", "  ", "a", "a ", "\x01", "a\x01", "a \x01 ", "\u00a0", "a\u00a0", "a\u3000"}
    while len(found) < count:
        letters = dice.choice([LETTERS, FEW])
        found.add("".join(dice.choice(letters) for _ in range(dice.randint(1, 4))))
    return sorted(text for text in found if representable(text, character_set))


def representable(text: str, character_set: str) -> bool:
    try:
        text.encode({"latin1": "cp1252", "ascii": "ascii"}.get(character_set, "utf-8"))
    except UnicodeEncodeError:
        return False
    return character_set != "utf8mb3" or max(text, default="") <= "\uffff"


def sent(text: str) -> str:
    return f"CONVERT(x'{text.encode().hex()}' USING utf8mb4)"


def numbered(texts: Iterable[str]) -> str:
    return ", ".join(f"({number}, {sent(text)})" for number, text in enumerate(texts))


@pytest.mark.parametrize("name", sorted(COLLATIONS))
async def test_strings_are_equal_exactly_when_their_canonical_forms_are(server: Server, name: str) -> None:
    collation = COLLATIONS[name]
    try:
        codec = await server.codec(f"VARCHAR(40) CHARACTER SET {collation.character_set} COLLATE {name}")
    except ShardError as error:
        assert error.errno == 1273  # noqa: PT017  (not on this kind of server)
        pytest.skip(f"no {name} here")
    values = texts(collation.character_set, 300)
    table = f"i INT, v VARCHAR(40) CHARACTER SET {collation.character_set} COLLATE {name} NOT NULL"
    await server.rows(
        "DROP TABLE IF EXISTS u",
        f"CREATE TABLE u ({table}, KEY (v))",
        f"INSERT INTO u VALUES {numbered(values)}",
    )
    # No condition to join by: MySQL's hash join (9.7) tells 'a' from 'a\u00a0' in utf8mb4_unicode_ci, no index does.
    scanned = "SELECT a.i, b.i FROM u AS a JOIN u AS b WHERE a.i < b.i AND (a.v = b.v) + 0"
    looked_up = (
        "SELECT a.i, b.i FROM u AS a STRAIGHT_JOIN u AS b FORCE INDEX (v) ON a.v = b.v WHERE a.i < b.i"
    )
    equal = {(values[int(str(i))], values[int(str(j))]) for i, j in await server.rows(scanned)}
    assert equal == {(values[int(str(i))], values[int(str(j))]) for i, j in await server.rows(looked_up)}
    forms = {value: await server.settle(codec.lookup(value)) for value in values}
    same = {(a, b) for number, a in enumerate(values) for b in values[number + 1 :] if forms[a] == forms[b]}
    assert same == equal
    if collation.pads:
        assert equal
    assert {value: await server.settle(codec.insert(value, strict=True)) for value in values} == forms


@pytest.mark.parametrize(
    "name", sorted(name for name, c in COLLATIONS.items() if c.weights is not Weights.CODE_POINTS)
)
async def test_what_is_computed_here_for_ascii_is_what_the_server_says(server: Server, name: str) -> None:
    collation = COLLATIONS[name]
    known = await server.rows(f"SHOW COLLATION WHERE Collation IN ('{name}', '{name.partition('_')[2]}')")
    if not known:
        pytest.skip(f"no {name} here")
    await server.weights.fetch_tables([collation])
    table = server.weights.tables[name]
    dice = random.Random(4)
    for _ in range(150):
        text = "".join(chr(dice.randrange(128)) for _ in range(dice.randint(0, 12)))
        assert table.canonical_ascii(text.encode()) == await server.weights.canonical(
            WeightQuestion(name, text)
        )


@pytest.mark.mariadb_only
async def test_a_collation_for_which_the_rule_does_not_hold_is_refused(server: Server) -> None:
    with pytest.raises(NotSupported, match="uca1400_as_ci"):
        await server.codec("VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_as_ci")


NUMBERS = [
    "0",
    "-0",
    "5",
    "5.0",
    "5.5",
    "-5.5",
    "2.5",
    "2.5e0",
    "3.5e0",
    "-2.5e0",
    "5e0",
    "1e3",
    "'5'",
    "'5.0'",
    "'5.4'",
    "' 5'",
]
NUMBERS += [
    "'5 '",
    "'005'",
    "'5e0'",
    "'2.5e0'",
    "'+5'",
    "'.5'",
    "'5.'",
    "''",
    "'5abc'",
    "'0x5'",
    "'x'",
    "0x05",
    "x'05'",
    "b'101'",
]
NUMBERS += [
    "1.5",
    "1.50",
    "'1.5'",
    "1.005",
    "1.005e0",
    "2.675e0",
    "0.125e0",
    "-0.4",
    "'-0.4'",
    "-0.5e0",
    "1.15",
    "1.1e0",
]
NUMBERS += [
    "127",
    "128",
    "255",
    "256",
    "2147483647",
    "2147483647.4",
    "2147483648",
    "-2147483649",
    "4294967296",
]
NUMBERS += [
    "9007199254740992",
    "9007199254740993",
    "9007199254740993e0",
    "'9007199254740993'",
    "9007199254740993.0",
]
NUMBERS += [
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "'18446744073709551615'",
    "1e18",
    "1.8e19",
]
NUMBERS += [
    "12345678901234567890.1",
    "'12345678901234567890.1'",
    "12345678901234567890.2",
    "12345678901234567890.1e0",
    "1.10000000001",
    "1.1000000001",
]
NUMBERS += ["99999999.994", "99999999.995", "'1e1'", "1e-3", "TRUE", "NULL", "DATE'2024-01-02'"]
DATES = [
    "'2024-01-02'",
    "'2024-1-2'",
    "20240102",
    "'20240102'",
    "'2024-01-02 00:00:00'",
    "'2024-01-02 03:04:05'",
    "'2024-01-02 03:04:05.5'",
]
DATES += [
    "'2024-01-02 03:04:05.123'",
    "'2024-01-02 03:04:05.1235'",
    "'2024-01-02T03:04:05'",
    "'2024-01-02 03:04'",
    "'0001-01-01'",
]
DATES += [
    "'2024-02-30'",
    "'0000-00-00'",
    "'2024-01-02 '",
    "' 2024-01-02'",
    "'2024-01-02x'",
    "'2024-01-02 03:04:05+00:00'",
    "5",
    "NULL",
    "''",
]
DATES += [
    "'2024-01-02 03:04:05.0'",
    "'2024-01-02 03:04:05.50'",
    "'9999-12-31 23:59:59'",
    "20240102030405",
    "'2024-01-02 24:00:00'",
]
STRINGS = [
    "'a'",
    "'A'",
    "'a '",
    "'a  '",
    "' a'",
    "''",
    "'5'",
    "5",
    "5.0",
    "5e0",
    "'5.0'",
    "'005'",
    "x'61'",
    "x'6120'",
    "x'6100'",
    "0x61",
    "b'1100001'",
]
STRINGS += [
    "'abcd'",
    "'abcd  '",
    "'abcde'",
    "'é'",
    "'e'",
    "'ß'",
    "'ss'",
    "'日'",
    "'😀'",
    "x'c3a9'",
    "x'e9'",
    "'a\\0'",
    "'a\\0\\0\\0'",
    "TRUE",
    "NULL",
]
STRINGS += ["-5", "007", "1.50", "DATE'2024-01-02'"]

KINDS = {
    "TINYINT": NUMBERS,
    "TINYINT UNSIGNED": NUMBERS,
    "INT": NUMBERS,
    "INT UNSIGNED": NUMBERS,
    "BIGINT": NUMBERS,
    "BIGINT UNSIGNED": NUMBERS,
    "DECIMAL(10,2)": NUMBERS,
    "DECIMAL(15,0)": NUMBERS,
    "DECIMAL(30,10)": NUMBERS,
    "DECIMAL(10,2) UNSIGNED": NUMBERS,
    "DATE": DATES,
    "DATETIME": DATES,
    "DATETIME(3)": DATES,
    "DATETIME(6)": DATES,
    "CHAR(4) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci": STRINGS,
    "VARCHAR(4) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci": STRINGS,
    "VARCHAR(4) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin": STRINGS,
    "VARCHAR(4) CHARACTER SET latin1": STRINGS,
    "VARCHAR(4) CHARACTER SET ascii": STRINGS,
    "CHAR(4) CHARACTER SET utf8mb4 COLLATE {nopad}": STRINGS,
    "VARCHAR(4) CHARACTER SET utf8mb4 COLLATE {nopad}": STRINGS,
    "BINARY(4)": STRINGS,
    "VARBINARY(4)": STRINGS,
}


def value_of(literal: str) -> KeyValue | None:
    """As the planner reads it; None: it is not a literal to the planner."""
    words: dict[str, KeyValue] = {"TRUE": True, "NULL": None}
    if literal in words:
        return words[literal]
    return decode_literal(literal)


def is_literal(literal: str) -> bool:
    return not literal.startswith("DATE")


async def stored_values(server: Server) -> list[tuple[object, KeyValue]]:
    """Every row of `t`: something that names it, and its value in the form that has no doubt."""
    facts = await read_facts(server.connection, [(DATABASE, "t")], 10)
    kind = facts[DATABASE, "t"].columns[0].type_name
    if kind in ("binary", "varbinary"):
        return [
            (v, bytes.fromhex(string(v)))
            for (v,) in await server.rows("SELECT HEX(v) FROM t WHERE v IS NOT NULL")
        ]  # type: ignore[arg-type]
    if kind in ("char", "varchar"):
        query = "SELECT HEX(CONVERT(v USING utf8mb4)) FROM t WHERE v IS NOT NULL"
        return [(v, bytes.fromhex(string(v)).decode()) for (v,) in await server.rows(query)]  # type: ignore[arg-type]
    rows = await server.rows("SELECT CAST(v AS CHAR) FROM t WHERE v IS NOT NULL")
    if kind in ("date", "datetime"):
        return [(v, string(v)) for (v,) in rows]  # type: ignore[arg-type]
    return [(v, decode_literal(string(v))) for (v,) in rows]  # type: ignore[arg-type]


def column_definition(kind: str, server: Server) -> str:
    nopad = "utf8mb4_general_nopad_ci" if server.kind is ServerKind.MARIADB else "utf8mb4_0900_ai_ci"
    return kind.format(nopad=nopad)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_stored_has_the_form_by_which_it_was_placed(server: Server, kind: str) -> None:
    codec = await server.codec(column_definition(kind, server))
    placed = 0
    for literal in filter(is_literal, KINDS[kind]):
        try:
            form = await server.settle(codec.insert(value_of(literal), strict=True))
        except NotSupported:
            continue
        await server.rows("DELETE FROM t")
        try:
            await server.rows(f"INSERT INTO t VALUES ({literal})")
        except ShardError:
            continue
        if literal == "NULL":
            assert form is Verdict.NO_ROW
            continue
        [(_, stored)] = await stored_values(server)
        assert form == await server.settle(codec.insert(stored, strict=True)), literal
        placed += 1
    assert placed >= 3


@pytest.mark.parametrize("kind", KINDS)
async def test_a_value_said_to_be_refused_is_refused(server: Server, kind: str) -> None:
    codec = await server.codec(column_definition(kind, server) + " NOT NULL")
    for literal in filter(is_literal, KINDS[kind]):
        try:
            form = codec.insert(value_of(literal), strict=True)
        except NotSupported:
            continue
        if form is Verdict.NO_ROW:
            with pytest.raises(ShardError):
                await server.rows(f"INSERT INTO t VALUES ({literal})")
        assert form is not Verdict.UNKNOWN


@pytest.mark.parametrize("kind", KINDS)
async def test_a_look_up_finds_rows_of_its_own_form_only(server: Server, kind: str) -> None:
    codec = await server.codec(column_definition(kind, server))
    for literal in KINDS[kind]:
        try:
            await server.rows(f"INSERT INTO t VALUES ({literal})")
        except ShardError:
            continue
    forms = {}
    for name, stored in await stored_values(server):
        forms[string(name)] = await server.settle(codec.insert(stored, strict=True))  # type: ignore[arg-type]
    assert len(forms) >= 3
    shown = (
        "HEX(CONVERT(v USING utf8mb4))"
        if "CHAR(" in kind
        else "HEX(v)"
        if "BINARY" in kind
        else "CAST(v AS CHAR)"
    )
    exact = 0
    for literal in filter(is_literal, KINDS[kind]):
        form = await server.settle(codec.lookup(value_of(literal)))
        try:
            found = await server.rows(f"SELECT {shown} FROM t WHERE v = {literal}")
            # Without the index MariaDB compares decimals with a double as doubles, and finds more.
            found += await server.rows(f"SELECT {shown} FROM t IGNORE INDEX (v) WHERE v = {literal}")
        except ShardError:
            continue
        if form is Verdict.NO_ROW:
            assert not found, literal
        elif form is not Verdict.UNKNOWN:
            assert {forms[string(v)] for (v,) in found} <= {form}, literal  # type: ignore[arg-type]
            exact += bool(found)
    assert exact >= 2
