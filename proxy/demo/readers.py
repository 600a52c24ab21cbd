"""Readers that add up all accounts again and again: any sum but the total is a violation.

`one_statement` asks for the sum; `several_statements` asks for parts of it in one transaction, so that all of
them must be of one snapshot although transfers go on in between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import pymysql

from proxy.demo.bank import ACCOUNTS, DATABASE, SUM, TOTAL
from proxy.demo.progress import Reporter
from proxy.demo.transfers import AFTER_ERROR_S, rolled_back
from txguard.transactional.classify import Failure, classify

PAUSE_S: Final = 0.03
PARTS: Final = 4
_PART: Final = f"SELECT SUM(balance), COUNT(*) FROM {DATABASE}.account WHERE id > %s AND id <= %s"


def one_statement(connection: Any) -> tuple[Decimal, int]:
    with connection.cursor() as cursor:
        cursor.execute(SUM)
        total, count = cursor.fetchone()
        return total, count


def several_statements(connection: Any) -> tuple[Decimal, int]:
    step = ACCOUNTS // PARTS
    total, count = Decimal(0), 0
    connection.begin()
    with connection.cursor() as cursor:
        for first in range(0, ACCOUNTS, step):
            cursor.execute(_PART, (first, first + step))
            part, rows = cursor.fetchone()
            total, count = total + part, count + rows
    connection.commit()
    return total, count


def read_until(
    stop: threading.Event,
    where: dict[str, Any],
    read: Callable[[Any], tuple[Decimal, int]],
    reporter: Reporter,
) -> None:
    """One thread, one connection; a new one after every error."""
    connection: Any = None
    while not stop.is_set():
        try:
            if connection is None:
                connection = pymysql.connect(**where, autocommit=True)
            total, count = read(connection)
        except (pymysql.err.MySQLError, OSError) as error:
            conflict = connection is not None and classify(error) is Failure.CONFLICT
            if conflict and rolled_back(connection):
                reporter.conflict()
                continue
            reporter.error(error)
            if connection is not None:
                connection._force_close()
            connection = None
            stop.wait(AFTER_ERROR_S)
            continue
        if (total, count) == (TOTAL, ACCOUNTS):
            reporter.snapshot()
        else:
            reporter.violation(
                f"{read.__name__}: {count} accounts with {total}, must be {ACCOUNTS} with {TOTAL}"
            )
        stop.wait(PAUSE_S)
    if connection is not None:
        connection.close()
