"""What becomes of a fast write or COMMIT that a callback could not answer. Apart as `proxy/backend/awaited.py` is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.executor.answers import Answer
from txguard.engine.commit_on import Rest
from txguard.engine.point_write import FirstTry

if TYPE_CHECKING:
    from proxy.session.fast_write import FastWrite


async def write_on(write: FastWrite, first: FirstTry) -> None:
    """The ordinary way, with what became of the statement for its first try."""
    talk, execution = write.talk, write.execution
    answer = Answer(write.client, talk.status, binary=execution.binary)
    await write.query_engine.go_on_writing(execution, write.unit, first, answer)
    talk.is_over()
    answer.finish()


async def commit_write(write: FastWrite, rest: Rest | None = None) -> None:
    """The COMMIT of a statement's own transaction; None: it has not begun."""
    talk = write.talk
    try:
        await (rest if rest is not None else talk.transactions.commit_implicit(write.unit))
    finally:
        talk.executor.unit = None
    write.answer_write(write.reply)


async def commit_on(write: FastWrite, rest: Rest) -> None:
    await rest
    write.answer_ok()
