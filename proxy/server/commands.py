"""Which command goes to which method of a session: one function for each, in a table.

What has no entry is answered with error 1047. COM_QUIT and COM_CHANGE_USER are the connection's own.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.errors import MalformedPacket, ProxyError
from proxy.server.handler import Client, Pending, Session
from proxy.wire.commands import Command
from proxy.wire.lenenc import PayloadReader
from proxy.wire.packets import frame
from proxy.wire.responses import EofPacket, make_eof
from proxy.wire.statements import statement_id_of

Run = Callable[[Session, Client, bytes], Pending]


class NoOpenCursor(ProxyError):
    """Rows of a prepared statement are sent at once, so there is never a cursor to fetch from."""

    errno = 1421
    sqlstate = "HY000"


def _query(session: Session, client: Client, payload: bytes) -> Pending:
    return session.on_query(payload[1:])


def _execute(session: Session, client: Client, payload: bytes) -> Pending:
    return session.on_execute(payload)


def _prepare(session: Session, client: Client, payload: bytes) -> Pending:
    return session.on_prepare(payload[1:])


def _stmt_close(session: Session, client: Client, payload: bytes) -> Pending:
    session.on_stmt_close(statement_id_of(payload))
    client.finish()
    return None


def _stmt_reset(session: Session, client: Client, payload: bytes) -> Pending:
    return session.on_stmt_reset(statement_id_of(payload))


def _send_long_data(session: Session, client: Client, payload: bytes) -> Pending:
    if len(payload) < 7:
        raise MalformedPacket("COM_STMT_SEND_LONG_DATA is too short")
    session.on_send_long_data(statement_id_of(payload), int.from_bytes(payload[5:7], "little"), payload[7:])
    client.finish()
    return None


def _stmt_fetch(session: Session, client: Client, payload: bytes) -> Pending:
    raise NoOpenCursor(f"The statement ({statement_id_of(payload)}) has no open cursor")


def _init_db(session: Session, client: Client, payload: bytes) -> Pending:
    return session.on_init_db(payload[1:])


def _ping(session: Session, client: Client, payload: bytes) -> Pending:
    return session.on_ping()


def _field_list(session: Session, client: Client, payload: bytes) -> Pending:
    reader = PayloadReader(payload, 1)
    table = reader.null_terminated()
    return session.on_field_list(table, reader.rest())


def _statistics(session: Session, client: Client, payload: bytes) -> Pending:
    client.finish(frame(session.on_statistics().encode(), client.sequence))
    return None


def _process_kill(session: Session, client: Client, payload: bytes) -> Pending:
    return session.on_kill(PayloadReader(payload, 1).integer(4))


def _set_option(session: Session, client: Client, payload: bytes) -> Pending:
    option = PayloadReader(payload, 1).integer(2)
    if option > 1:
        raise MalformedPacket(f"COM_SET_OPTION knows no option {option}")
    client.multi_statements = option == 0
    client.finish(frame(make_eof(EofPacket()), client.sequence))
    return None


def _reset_connection(session: Session, client: Client, payload: bytes) -> Pending:
    return session.on_reset_connection()


COMMANDS: dict[int, Run] = {
    Command.COM_QUERY: _query,
    Command.COM_STMT_EXECUTE: _execute,
    Command.COM_STMT_PREPARE: _prepare,
    Command.COM_STMT_CLOSE: _stmt_close,
    Command.COM_STMT_RESET: _stmt_reset,
    Command.COM_STMT_SEND_LONG_DATA: _send_long_data,
    Command.COM_STMT_FETCH: _stmt_fetch,
    Command.COM_INIT_DB: _init_db,
    Command.COM_PING: _ping,
    Command.COM_FIELD_LIST: _field_list,
    Command.COM_STATISTICS: _statistics,
    Command.COM_PROCESS_KILL: _process_kill,
    Command.COM_SET_OPTION: _set_option,
    Command.COM_RESET_CONNECTION: _reset_connection,
}

UNANSWERED = frozenset((Command.COM_STMT_CLOSE, Command.COM_STMT_SEND_LONG_DATA))
"""Commands to which nothing is sent, not even an error."""
