"""txguard.toml: what can be set, its defaults, and how a wrong file is reported.

Owns the immutable `Config` that every part of the proxy is built from. `load` reads a file and raises
`ConfigError` whose text names the file, the line and what would be valid. Programs (the playground, tests)
build `Config(...)` directly and write it with `to_toml`. Secrets never show in a repr or in an error.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from proxy.errors import ConfigError
from proxy.toml_lines import key_lines, line_of

MIB = 1024 * 1024
ORACLE_COPIES = (1, 3, 5)

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]
"""Shard names go into commit records and hints, so they are short and plain."""
Seconds = Annotated[float, Field(gt=0)]
Milliseconds = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class ProxyConfig(_Section):
    """[proxy]: where clients connect, and the bounds on what one of them may use."""

    listen: str = "127.0.0.1:4000"
    """host:port; an IPv6 host stands in brackets."""
    socket: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_packet_bytes: Annotated[int, Field(ge=1024, le=1024 * MIB)] = 64 * MIB
    max_merge_bytes: Annotated[int, Field(ge=MIB)] = 256 * MIB
    """What one statement may hold in memory while it merges the answers of several shards."""
    max_connections: Annotated[int, Field(ge=1)] = 10_000
    idle_timeout_s: Seconds = 28_800
    handshake_timeout_s: Seconds = 10
    server_version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+[\x21-\x7e]*$")] = "8.0.36-TxGuard"

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, value: str) -> str:
        split_address(value)
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: set both or neither")
        return self

    @property
    def host(self) -> str:
        return split_address(self.listen)[0]

    @property
    def port(self) -> int:
        return split_address(self.listen)[1]


class _Credentials(_Section):
    """A password, given in place or by reference; the reference is resolved when the file is read."""

    password: str | None = Field(default=None, repr=False)
    password_env: str | None = None
    password_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _resolve_password(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        ways = ("password", "password_env", "password_file")
        given = [way for way in ways if values.get(way) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: keep one")
        if given == ["password_env"]:
            return {**values, "password": _password_from_env(str(values["password_env"]))}
        if given == ["password_file"]:
            return {**values, "password": _password_from_file(Path(values["password_file"]))}
        return values


class UserConfig(_Credentials):
    """[[users]]: an account of the proxy. A hash in place of the password keeps the file free of it."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    mysql_native_hash: str | None = Field(default=None, repr=False, pattern=r"^\*[0-9A-Fa-f]{40}$")
    """`*` and SHA1(SHA1(password)) in hex, as MariaDB's PASSWORD() writes it."""
    caching_sha2_hash: str | None = Field(default=None, repr=False, pattern=r"^[0-9A-Fa-f]{64}$")
    """SHA256(SHA256(password)) in hex."""
    databases: tuple[str, ...] | None = None
    """The databases it may use; None: all."""

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if self.password is None and self.mysql_native_hash is None and self.caching_sha2_hash is None:
            raise ValueError(
                f"user {self.name!r} needs a password, password_env, password_file, "
                'mysql_native_hash or caching_sha2_hash (an empty password is written as "")'
            )
        return self

    def native_stage2(self) -> bytes | None:
        """SHA1(SHA1(password)), what mysql_native_password is checked against; None: cannot be used."""
        if self.mysql_native_hash is not None:
            return bytes.fromhex(self.mysql_native_hash[1:])
        if not self.password:
            return None
        return hashlib.sha1(hashlib.sha1(self.password.encode()).digest()).digest()

    def sha2_stage2(self) -> bytes | None:
        """SHA256(SHA256(password)), what caching_sha2_password's fast path is checked against."""
        if self.caching_sha2_hash is not None:
            return bytes.fromhex(self.caching_sha2_hash)
        if not self.password:
            return None
        return hashlib.sha256(hashlib.sha256(self.password.encode()).digest()).digest()


class ServerConfig(_Credentials):
    """One MySQL or MariaDB server, reached by host and port or by a Unix socket."""

    host: str = "127.0.0.1"
    port: Port = 3306
    socket: Path | None = None
    user: Annotated[str, Field(min_length=1)]
    tls: Literal["off", "required", "verify"] = "off"
    """verify: the certificate must chain to `tls_ca` (or the system's) and name the host."""
    tls_ca: Path | None = None

    @property
    def address(self) -> str:
        return str(self.socket) if self.socket is not None else f"{self.host}:{self.port}"


class ShardConfig(ServerConfig):
    """[[shards]]: one primary."""

    name: Name
    max_connections: Annotated[int, Field(ge=4)] = 100
    """How many connections the proxy opens to this shard at most."""
    connect_timeout_s: Seconds = 5


class TsoConfig(_Section):
    """[tso]: the timestamp oracle, inside this proxy or a service that several proxies share."""

    embedded: bool = True
    provider: str | None = None
    """By name (`proxy.server.oracles`); None: "embedded" or "service", as `embedded` says."""
    address: str | None = None
    """host:port at which the service listens and proxies reach it."""
    addresses: tuple[str, ...] = ()
    """In place of `address` where there are standbys: one for each `txguard tso`."""
    secret: str | None = Field(default=None, repr=False)
    store_shards: tuple[Name, ...] = ()
    """The shards a majority of which keeps the oracle's bound and lease; empty: the first five, three or one."""
    store: ServerConfig | None = None
    """A server of its own to keep them, in place of shards."""

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        for address in self.listed_addresses:
            split_address(address)
        if len(set(self.addresses)) < len(self.addresses):
            raise ValueError("addresses has one of them twice")
        if self.address is not None and self.addresses:
            raise ValueError("address and addresses exclude each other: keep one")
        if self.store_shards and self.store is not None:
            raise ValueError("store_shards and store exclude each other: keep one")
        if self.provider_name == "service" and not (self.listed_addresses and self.secret):
            raise ValueError("embedded = false needs address (host:port) and secret of the oracle's service")
        return self

    @property
    def provider_name(self) -> str:
        return self.provider or ("embedded" if self.embedded else "service")

    @property
    def listed_addresses(self) -> tuple[str, ...]:
        return self.addresses if self.address is None else (self.address,)


class EngineConfig(_Section):
    """[engine]: the protocol's time-outs (docs/protocol.md)."""

    retention_s: Annotated[int, Field(ge=1)] = 600
    """How long replaced versions and commit records are kept for snapshots."""
    before_prewrite_timeout_ms: Milliseconds = 1_500
    before_prewrite_tries: Annotated[int, Field(ge=1, le=10)] = 3
    prewrite_timeout_ms: Milliseconds = 2_000
    cleanup_timeout_ms: Milliseconds = 1_000
    barrier_timeout_ms: Milliseconds = 5_000
    lock_wait_timeout_s: Annotated[int, Field(ge=1)] = 50


class TableConfig(_Section):
    """[[tables]]: where a table created later goes, in place of the rule (hash of its first key column)."""

    name: Annotated[str, Field(pattern=r"^[^.]+\.[^.]+$")]
    """database.table"""
    kind: Literal["sharded", "reference", "single"] = "sharded"
    shard_key: str | None = None
    home: Name | None = None
    retention_s: Annotated[int, Field(ge=1)] | None = None
    """For how long what is replaced in it is kept, if that is to be longer than [engine] says."""

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.shard_key is not None and self.kind != "sharded":
            raise ValueError(f'shard_key is for kind = "sharded", not for {self.kind!r}')
        if self.home is not None and self.kind != "single":
            raise ValueError(f'home is for kind = "single", not for {self.kind!r}')
        return self


class LogConfig(_Section):
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "console"


class Config(_Section):
    """The whole file."""

    proxy: ProxyConfig = ProxyConfig()
    users: Annotated[tuple[UserConfig, ...], Field(min_length=1)]
    shards: Annotated[tuple[ShardConfig, ...], Field(min_length=1, max_length=256)]
    tso: TsoConfig = TsoConfig()
    engine: EngineConfig = EngineConfig()
    tables: tuple[TableConfig, ...] = ()
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        _refuse_twice("shards", "name", [shard.name for shard in self.shards])
        _refuse_twice("shards", "address", [shard.address for shard in self.shards])
        _refuse_twice("users", "name", [user.name for user in self.users])
        _refuse_twice("tables", "name", [table.name for table in self.tables])
        names = [shard.name for shard in self.shards]
        _refuse_twice("tso.store_shards", "name", list(self.tso.store_shards))
        wanted: list[tuple[str, str | None]] = [("tso.store_shards", name) for name in self.tso.store_shards]
        wanted += [(f"tables {table.name!r} home", table.home) for table in self.tables]
        for key, name in wanted:
            if name is not None and name not in names:
                raise ValueError(f"{key} = {name!r}: no such shard, there are {', '.join(names)}")
        return self

    @property
    def oracle_stores(self) -> tuple[ServerConfig, ...]:
        """The servers a majority of which keeps the oracle's bound and lease: an odd number, unless chosen."""
        if self.tso.store is not None:
            return (self.tso.store,)
        if self.tso.store_shards:
            return tuple(self.shard(name) for name in self.tso.store_shards)
        return self.shards[: max(count for count in ORACLE_COPIES if count <= len(self.shards))]

    def shard(self, name: str) -> ShardConfig:
        return next(shard for shard in self.shards if shard.name == name)

    def user(self, name: str) -> UserConfig | None:
        return next((user for user in self.users if user.name == name), None)


def split_address(address: str) -> tuple[str, int]:
    """ "host:port" or "[::1]:port" as a pair. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{address!r} is not host:port, for example 127.0.0.1:4000")
    return host, int(port)


def load(path: Path | str) -> Config:
    """Read and check a txguard.toml. Raises ConfigError; relative paths in it are relative to its folder."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    return loads(text, source=path)


def loads(text: str, *, source: Path) -> Config:
    """Like `load`, for a text that is already here; `source` names it in errors and anchors its paths."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from error
    _anchor_paths(document, source.parent)
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        lines = key_lines(text)
        problems = [_describe(problem, lines, source) for problem in error.errors(include_url=False)]
        raise ConfigError("\n".join(problems)) from None


def to_toml(config: Config) -> str:
    """Write a config as TOML that `loads` reads back to an equal one; defaults are left out."""
    document = config.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    tables: list[str] = []
    for name, section in document.items():
        header, parts = (f"[[{name}]]", section) if isinstance(section, list) else (f"[{name}]", [section])
        for part in parts:
            tables.append("\n".join([header, *_settings(part)]))
    return "\n\n".join(tables) + "\n"


def _settings(section: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_literal(value)}" for key, value in section.items() if not _derived(key, section)]


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(_settings(value)) + " }"
    return repr(value)


def _derived(key: str, section: Mapping[str, Any]) -> bool:
    """A password that came by reference stays a reference."""
    return key == "password" and ("password_env" in section or "password_file" in section)


def _refuse_twice(section: str, key: str, values: list[str]) -> None:
    twice = {value for value in values if values.count(value) > 1}
    if twice:
        raise ValueError(f"two [[{section}]] have the same {key} {sorted(twice)[0]!r}")


def _password_from_env(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ValueError(f"password_env: the environment has no variable {name}")
    return value


def _password_from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"password_file: {path} cannot be read: {error}") from None


_PATH_KEYS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("proxy",): ("socket", "tls_cert", "tls_key"),
    ("users",): ("password_file",),
    ("shards",): ("socket", "tls_ca", "password_file"),
    ("tso", "store"): ("socket", "tls_ca", "password_file"),
}


def _anchor_paths(document: dict[str, Any], folder: Path) -> None:
    """Make the relative paths of a file relative to the file, wherever the process was started."""
    for path, keys in _PATH_KEYS.items():
        value: Any = document
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                part.update({key: str(folder / part[key]) for key in keys if isinstance(part.get(key), str)})


def _describe(problem: Any, lines: dict[tuple[str | int, ...], int], source: Path) -> str:
    """One line of text for one of pydantic's findings. The value is left out: it may be a secret."""
    location = tuple(problem["loc"])
    line = line_of(lines, location)
    where = f"{source}, line {line}" if line is not None else f"{source}"
    key = ".".join(str(part) for part in location if isinstance(part, str)) or "file"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key {key!r}{_suggestion(location)}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        message = "is missing"
    return f"{where}: {key}: {message}"


def _suggestion(location: tuple[str | int, ...]) -> str:
    model: type[BaseModel] = Config
    for part in location[:-1]:
        model = _SECTIONS.get(str(part), model)
    close = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1, cutoff=0.5)
    valid = f"did you mean {close[0]!r}?" if close else "valid keys: " + ", ".join(model.model_fields)
    return f" ({valid})"


_SECTIONS: dict[str, type[BaseModel]] = {
    "proxy": ProxyConfig,
    "users": UserConfig,
    "shards": ShardConfig,
    "tso": TsoConfig,
    "store": ServerConfig,
    "engine": EngineConfig,
    "tables": TableConfig,
    "log": LogConfig,
}
