"""txguard.toml: what a mistake in it gets, and what secrets do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from proxy.config import (
    Config,
    ServerConfig,
    ShardConfig,
    TsoConfig,
    UserConfig,
    load,
    loads,
    split_address,
    to_toml,
)
from proxy.errors import ConfigError

SOURCE = Path("/etc/txguard/txguard.toml")
GOOD = """\
[proxy]
listen = "127.0.0.1:4001"

[[users]]
name = "app"
password = "secret word"

[[shards]]
name = "s1"
port = 3307
user = "root"

[[shards]]
name = "s2"
socket = "run/s2.sock"
user = "root"
"""


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text, source=SOURCE)
    return str(caught.value)


def test_a_minimal_file_and_its_defaults() -> None:
    config = loads(GOOD, source=SOURCE)
    assert (config.proxy.host, config.proxy.port) == ("127.0.0.1", 4001)
    assert [shard.name for shard in config.shards] == ["s1", "s2"]
    assert [server.port for server in config.oracle_stores] == [3307], "one of two: both would be needed"
    assert config.tso.embedded
    engine = config.engine
    assert (engine.before_prewrite_timeout_ms, engine.before_prewrite_tries) == (1500, 3)
    assert (engine.prewrite_timeout_ms, engine.cleanup_timeout_ms) == (2000, 1000)


def test_relative_paths_are_relative_to_the_file() -> None:
    assert loads(GOOD, source=SOURCE).shard("s2").socket == Path("/etc/txguard/run/s2.sock")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("port = 3307", "prot = 3307", 10, "unknown key 'shards.prot' (did you mean 'port'?)"),
        ("[proxy]", "[proxi]", 1, "unknown key 'proxi' (did you mean 'proxy'?)"),
        ("port = 3307", "port = 70000", 10, "shards.port"),
        ("port = 3307", "port = 'x'", 10, "shards.port"),
        ('listen = "127.0.0.1:4001"', 'listen = "nowhere"', 2, "is not host:port"),
        ('name = "s2"', 'name = "s 2"', 14, "shards.name"),
        ('user = "root"\n\n', "\n", 8, "shards.user: is missing"),
        ('password = "secret word"', "", 4, "needs a password"),
    ],
)
def test_a_mistake_names_its_line(old: str, new: str, line: int, words: str) -> None:
    text = problem(GOOD.replace(old, new, 1))
    assert f"{SOURCE}, line {line}: " in text
    assert words in text


def test_all_mistakes_are_told_at_once() -> None:
    text = problem(GOOD.replace("port", "prot").replace("listen", "listne"))
    assert "line 2:" in text
    assert "line 10:" in text


def test_bad_toml_names_its_line() -> None:
    assert "line 3" in problem("[proxy]\nlisten = '1:1'\nsocket = = 1\n")


def test_two_shards_of_one_name_or_address() -> None:
    assert "'s1'" in problem(GOOD.replace('"s2"', '"s1"'))
    twice = GOOD.replace('socket = "run/s2.sock"', "port = 3307")
    assert "the same address '127.0.0.1:3307'" in problem(twice)


def test_an_unknown_store_shard_is_refused() -> None:
    assert "no such shard, there are s1, s2" in problem(GOOD + '\n[tso]\nstore_shards = ["s9"]\n')


def test_a_remote_oracle_needs_address_and_secret() -> None:
    assert "line 18" in problem(GOOD + "\n[tso]\nembedded = false\n")
    with pytest.raises(ValueError, match="secret"):
        TsoConfig(embedded=False, address="127.0.0.1:4100")


@pytest.mark.parametrize(("shards", "kept_on"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (9, 5)])
def test_an_odd_number_of_shards_keeps_the_oracles_lease(shards: int, kept_on: int) -> None:
    config = Config(
        users=(UserConfig(name="root", password=""),),
        shards=tuple(ShardConfig(name=f"s{n}", port=3300 + n, user="root") for n in range(shards)),
    )
    assert config.oracle_stores == config.shards[:kept_on]


def test_where_the_oracles_lease_is_kept() -> None:
    chosen = loads(GOOD + '\n[tso]\nstore_shards = ["s2"]\n', source=SOURCE)
    assert chosen.oracle_stores == (chosen.shard("s2"),)
    apart = loads(GOOD + '\n[tso.store]\nsocket = "o.sock"\nuser = "o"\n', source=SOURCE)
    assert [str(server.socket) for server in apart.oracle_stores] == ["/etc/txguard/o.sock"]
    assert "exclude each other" in problem(GOOD + '\n[tso]\nstore_shards = ["s1"]\n[tso.store]\nuser = "o"\n')
    assert "did you mean 'port'?" in problem(GOOD + '\n[tso.store]\nuser = "o"\nprot = 1\n')


def test_the_addresses_of_standbys() -> None:
    def listed(settings: str) -> tuple[str, ...]:
        return loads(f'{GOOD}\n[tso]\nsecret = "x"\n{settings}\n', source=SOURCE).tso.listed_addresses

    assert listed('address = "a:1"') == ("a:1",)
    assert listed('embedded = false\naddresses = ["a:1", "b:1"]') == ("a:1", "b:1")
    for wrong in ('address = "a:1"\naddresses = ["b:1"]', 'addresses = ["a:1", "a:1"]', 'addresses = ["a"]'):
        with pytest.raises(ConfigError):
            listed(wrong)


def test_passwords_by_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APP_PASSWORD", "from the environment")
    config = loads(GOOD.replace('password = "secret word"', 'password_env = "APP_PASSWORD"'), source=SOURCE)
    assert config.users[0].password == "from the environment"

    (tmp_path / "secret").write_text("from a file\n")
    text = GOOD.replace('password = "secret word"', 'password_file = "secret"')
    (tmp_path / "txguard.toml").write_text(text)
    assert load(tmp_path / "txguard.toml").users[0].password == "from a file"


def test_a_missing_reference_names_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APP_PASSWORD", raising=False)
    text = problem(GOOD.replace('password = "secret word"', 'password_env = "APP_PASSWORD"'))
    assert "line 4" in text
    assert "no variable APP_PASSWORD" in text


def test_two_ways_to_give_a_password_exclude_each_other() -> None:
    text = GOOD.replace('password = "secret word"', 'password = "a"\npassword_env = "B"')
    assert "exclude each other" in problem(text)


def test_secrets_show_in_no_repr_and_no_error() -> None:
    config = loads(GOOD, source=SOURCE)
    assert "secret word" not in repr(config)
    bad = GOOD.replace('"secret word"', '["secret word"]')
    assert "secret word" not in problem(bad)


def test_hashes_stand_for_passwords() -> None:
    once = hashlib.sha256(b"pw").digest()
    plain = UserConfig(name="a", password="pw")
    assert plain.sha2_stage2() == hashlib.sha256(once).digest()
    hashed = UserConfig(
        name="a",
        mysql_native_hash="*" + hashlib.sha1(hashlib.sha1(b"pw").digest()).hexdigest().upper(),
        caching_sha2_hash=hashlib.sha256(once).hexdigest(),
    )
    assert hashed.native_stage2() == plain.native_stage2()
    assert hashed.sha2_stage2() == plain.sha2_stage2()
    assert UserConfig(name="a", password="").native_stage2() is None


def test_written_and_read_again_it_is_the_same() -> None:
    config = Config(
        users=(UserConfig(name="root", password='q"uo\\te\n☃'),),
        shards=(
            ShardConfig(name="s1", port=3307, user="root", password=""),
            ShardConfig(name="s2", port=3308, user="root"),
        ),
        tso=TsoConfig(
            addresses=("127.0.0.1:4100", "127.0.0.1:4101"),
            store=ServerConfig(port=3309, user="o", password="x y"),
        ),
    )
    assert loads(to_toml(config), source=SOURCE) == config


def test_a_password_given_by_reference_is_written_as_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PASSWORD", "hidden")
    config = loads(GOOD.replace('password = "secret word"', 'password_env = "APP_PASSWORD"'), source=SOURCE)
    assert "hidden" not in to_toml(config)
    assert "APP_PASSWORD" in to_toml(config)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("address", "pair"), [("localhost:1", ("localhost", 1)), ("[::1]:4000", ("::1", 4000))]
)
def test_split_address(address: str, pair: tuple[str, int]) -> None:
    assert split_address(address) == pair


@pytest.mark.parametrize("address", ["", "host", "host:", ":1", "host:0", "host:65536", "host:x"])
def test_split_address_refuses(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(address)
