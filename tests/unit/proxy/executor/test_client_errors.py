"""Every exception reaches the client as one error number, and a bug never as a traceback."""

from __future__ import annotations

import pytest

from proxy.errors import NotSupported
from proxy.executor.client_errors import client_error
from tso import errors as tso_errors
from tso.errors import TsoError, TsoTimeout, TsoUnavailable
from txguard.engine.shard import ConnectionLost, ShardError, ShardUnavailable
from txguard.errors import Conflict, OutcomeUndetermined


@pytest.mark.parametrize(
    ("error", "errno", "sqlstate"),
    [
        (ShardError(1062, "23000", "Duplicate entry"), 1062, "23000"),
        (Conflict("again"), 1213, "40001"),
        (OutcomeUndetermined("start_ts 5"), 9101, "08007"),
        (NotSupported("LOCK TABLES"), 1235, "42000"),
        (TsoTimeout(), 1205, "HY000"),
        (TsoUnavailable(), 9105, "08S01"),
        (ConnectionLost("gone"), 9102, "08S01"),
        (ShardUnavailable("down"), 9102, "08S01"),
        (ExceptionGroup("two", [Conflict("again"), ValueError()]), 1213, "40001"),
    ],
)
def test_known_errors_keep_their_numbers(error: Exception, errno: int, sqlstate: str) -> None:
    answer = client_error(error)
    assert (answer.errno, answer.sqlstate) == (errno, sqlstate)


def test_every_error_of_the_oracle_has_a_number() -> None:
    for kind in vars(tso_errors).values():
        if isinstance(kind, type) and issubclass(kind, TsoError) and kind is not TsoError:
            assert client_error(kind()).errno != 1105


def test_a_bug_is_1105_with_an_incident_and_nothing_of_its_text() -> None:
    answer = client_error(KeyError("secret"))
    assert answer.errno == 1105
    assert "incident" in answer.message
    assert "secret" not in answer.message
