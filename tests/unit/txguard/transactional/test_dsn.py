"""A DSN names everything a connection needs, and its mistakes are told without its password."""

from __future__ import annotations

import pytest

from txguard.transactional.dsn import parse_dsn


def test_all_parts() -> None:
    dsn = parse_dsn(
        "mysql://us%40er:p%2Fw@db.example:4000/app?charset=latin1&connect_timeout=3&init_command=SET%20@a=1"
    )
    assert dsn.database == "app"
    assert dsn.parameters == {
        "host": "db.example",
        "port": 4000,
        "user": "us@er",
        "password": "p/w",
        "charset": "latin1",
        "connect_timeout": 3,
        "init_command": "SET @a=1",
    }


def test_defaults() -> None:
    dsn = parse_dsn("mysql+pymysql://root@/")
    assert (dsn.parameters["host"], dsn.parameters["port"], dsn.database) == ("127.0.0.1", 3306, None)
    assert dsn.parameters["charset"] == "utf8mb4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgresql://u:secret@h/d", "begins with mysql://"),
        ("mysql://u:secret@h/d?chrset=utf8", "unknown DSN parameter 'chrset'"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_dsn(text)
    assert "secret" not in str(caught.value)
