"""From the replies of several shards to the rows of one result: the fit between replies and the merge."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.backend.reply import RelayReply
from proxy.errors import OutOfMergeMemory
from proxy.executor.answers import Answer
from proxy.executor.execution import Execution
from proxy.executor.merge import merge
from proxy.sql.merge_spec import Merge


def answer_merged(
    spec: Merge, replies: Sequence[RelayReply], execution: Execution, answer: Answer, limit_bytes: int
) -> None:
    """Raises OutOfMergeMemory when all replies together are larger than one statement may hold."""
    if sum(len(reply.packets) for reply in replies) > limit_bytes:
        raise OutOfMergeMemory("the answers of the shards together are larger than max_merge_bytes")
    columns, rows = merge(spec, replies[0].columns(), [reply.rows() for reply in replies], execution.scalar)
    answer.rows(columns, rows, warnings=sum(reply.warnings for reply in replies))
