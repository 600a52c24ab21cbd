"""The session settings of a shard connection, and the statements that take it from one to another.

A pooled connection remembers the profile it has. Handed to a session with another one, it puts
`switch_statements` in front of the next packet: no round trip of their own. The character sets are names,
because MySQL and MariaDB number their collations differently.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PYTHON_ENCODINGS = {
    "utf8mb4": "utf-8",
    "utf8mb3": "utf-8",
    "utf8": "utf-8",
    "latin1": "cp1252",
    "ascii": "ascii",
    "binary": "latin-1",
    "latin2": "iso8859_2",
    "latin5": "iso8859_9",
    "latin7": "iso8859_13",
    "greek": "iso8859_7",
    "hebrew": "iso8859_8",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1256": "cp1256",
    "cp1257": "cp1257",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp866": "cp866",
    "koi8r": "koi8_r",
    "koi8u": "koi8_u",
    "tis620": "tis_620",
    "big5": "big5",
    "gbk": "gbk",
    "gb2312": "gb2312",
    "gb18030": "gb18030",
    "sjis": "shift_jis",
    "cp932": "cp932",
    "ujis": "euc_jp",
    "eucjpms": "euc_jp",
    "euckr": "euc_kr",
}
"""MySQL's client character sets as Python calls them."""


@dataclass(frozen=True, slots=True)
class SessionProfile:
    """What a session has set. `variables` are (name, SQL literal) pairs, sorted by name."""

    database: str | None = None
    """None: the session has none. The connection keeps its last, so the session must refuse bare names."""
    character_set_client: str = "utf8mb4"
    character_set_results: str | None = "utf8mb4"
    """None: NULL, no conversion."""
    collation_connection: str = "utf8mb4_general_ci"
    sql_mode: str | None = None
    """None: the shard's own default."""
    time_zone: str | None = None
    found_rows: bool = False
    """CLIENT_FOUND_ROWS. Fixed when the connection is opened, so the pool keeps the two kinds apart."""
    variables: tuple[tuple[str, str], ...] = ()
    encoding: str = field(init=False, compare=False, repr=False, default="utf-8")
    """Python's name for character_set_client."""
    _hash: int = field(init=False, compare=False, repr=False, default=0)

    def __post_init__(self) -> None:
        values = (
            self.database,
            self.character_set_client,
            self.character_set_results,
            self.collation_connection,
            self.sql_mode,
            self.time_zone,
            self.found_rows,
            self.variables,
        )
        object.__setattr__(self, "_hash", hash(values))
        encoding = PYTHON_ENCODINGS.get(self.character_set_client, "utf-8")
        object.__setattr__(self, "encoding", encoding)

    def __hash__(self) -> int:
        """Kept: every statement looks a connection up by its profile."""
        return self._hash


def quote_identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def quote_string(value: str) -> str:
    """A literal that means the same with and without NO_BACKSLASH_ESCAPES, as long as it has no backslash."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def switch_statements(current: SessionProfile | None, wanted: SessionProfile) -> list[str]:
    """The statements that give a connection with profile `current` (None: fresh from login) the one `wanted`.

    ASCII only, except for the name of a database, before which the character set is made utf8mb4.
    """
    settings = _assignments(current, wanted)
    use = wanted.database is not None and (current is None or wanted.database != current.database)
    if not use:
        return [f"SET {','.join(settings)}"] if settings else []
    assert wanted.database is not None
    statements = [f"USE {quote_identifier(wanted.database)}"]
    if not wanted.database.isascii():
        statements.insert(0, "SET NAMES utf8mb4")
        settings = _assignments(None, wanted)
    if settings:
        statements.append(f"SET {','.join(settings)}")
    return statements


def _assignments(current: SessionProfile | None, wanted: SessionProfile) -> list[str]:
    before = _settings(current) if current is not None else {}
    after = _settings(wanted)
    changed = [f"{name}={value}" for name, value in after.items() if before.get(name) != value]
    return changed + [f"{name}=DEFAULT" for name in before if name not in after]


def _settings(profile: SessionProfile) -> dict[str, str]:
    results = profile.character_set_results
    settings = {
        "character_set_client": profile.character_set_client,
        "character_set_results": "NULL" if results is None else results,
        "collation_connection": profile.collation_connection,
        "sql_mode": "DEFAULT" if profile.sql_mode is None else quote_string(profile.sql_mode),
        "time_zone": "DEFAULT" if profile.time_zone is None else quote_string(profile.time_zone),
    }
    settings.update(profile.variables)
    return settings


_INTERNED_LIMIT = 4096
_interned: dict[SessionProfile, SessionProfile] = {}


def intern_profile(profile: SessionProfile) -> SessionProfile:
    """The one object that stands for all equal profiles, so that pools compare by identity."""
    if len(_interned) >= _INTERNED_LIMIT:
        _interned.clear()
    return _interned.setdefault(profile, profile)
