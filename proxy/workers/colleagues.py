"""What a worker asks the others, and answers them, over its link to the supervisor.

The rule: an answer never waits for a worker that is gone or hangs longer than `ANSWER_S`; who asks then does without.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any, Final

from proxy.session.errors import NotThreadOwner, UnknownThread
from proxy.session.registry import Answering
from proxy.workers.link import Link, Message, Role

ANSWER_S: Final = 1.0
EVERYBODY: Final = 0


class WorkerColleagues:
    """`proxy.session.registry.Colleagues` of one worker."""

    def __init__(self, link: Link, role: Role) -> None:
        self._link, self._role = link, role
        self._handlers: Mapping[str, Answering] = {}
        self._asked: dict[int, asyncio.Queue[Any]] = {}
        self._ids = itertools.count(1)

    def answer_with(self, handlers: Mapping[str, Answering]) -> None:
        self._handlers = handlers

    async def listen(self) -> None:
        """Answer and take answers, until the supervisor is gone."""
        while (message := await self._link.receive()) is not None:
            if "ask" in message:
                self._answer(message)
            elif (queue := self._asked.get(message["id"])) is not None:
                queue.put_nowait(message.get("answer"))

    def _answer(self, message: Message) -> None:
        handler = self._handlers.get(message["ask"])
        answer = None if handler is None else handler(message["about"])
        self._link.send({"to": message["from"], "id": message["id"], "answer": answer})

    async def ask(self, question: str, about: Any = None) -> list[Any]:
        """Everybody else's answers, of those who gave one in time."""
        return await self._ask(EVERYBODY, self._role.count - 1, question, about)

    async def kill(self, connection_id: int, *, query_only: bool, user: str) -> None:
        owner = (connection_id - 1) % self._role.count + 1
        if owner == self._role.number:
            raise UnknownThread(connection_id)
        answers = await self._ask(owner, 1, "kill", [connection_id, query_only, user])
        if not answers or answers[0] == UnknownThread.__name__:
            raise UnknownThread(connection_id)
        if answers[0] == NotThreadOwner.__name__:
            raise NotThreadOwner(connection_id)

    async def _ask(self, to: int, expected: int, question: str, about: Any) -> list[Any]:
        number = next(self._ids)
        queue = self._asked[number] = asyncio.Queue[Any]()
        answers: list[Any] = []
        self._link.send({"to": to, "id": number, "ask": question, "about": about})
        try:
            async with asyncio.timeout(ANSWER_S):
                for _ in range(expected):
                    if (answer := await queue.get()) is not None:
                        answers.append(answer)
        except TimeoutError:
            pass
        finally:
            del self._asked[number]
        return answers
