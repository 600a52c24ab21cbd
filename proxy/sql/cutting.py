"""Cuts templates out of the client's text, with holes where literals, tables or session values stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.sql.lexer import Kind, Tokens
from proxy.sql.operands import Constant, Literal, Parameter
from proxy.sql.template import LimitSum, Nowait, Part, Template


@dataclass(slots=True)
class Holes:
    """By the index of the token where each begins: what stands in place of the tokens up to `end`.

    `inserted` comes before a token.
    """

    replaced: dict[int, tuple[int, tuple[Part, ...]]] = field(default_factory=dict)
    inserted: dict[int, Part] = field(default_factory=dict)

    def replace(self, start: int, end: int, *parts: Part) -> None:
        self.replaced[start] = (end, parts)


NO_HOLES = Holes()


def cut(tokens: Tokens, start: int, end: int, holes: Holes = NO_HOLES, *, tail: bool = False) -> list[Part]:
    """The text of the tokens from `start` up to `end`; comments become a space, except optimizer hints.

    What is inserted before `end` itself belongs to the text only where it is a whole (`tail`).
    """
    parts: list[Part] = []
    index = start
    while index < end:
        if index > start:
            parts.append(_gap(tokens, index))
        inserted = holes.inserted.get(index)
        if inserted is not None and (index > start or isinstance(inserted, Nowait)):
            parts.append(inserted)
        replaced = holes.replaced.get(index)
        if replaced is not None and replaced[0] <= end:
            parts.extend(replaced[1])
            index = replaced[0]
            continue
        parts.extend(_token(tokens, index))
        index += 1
    if tail and end in holes.inserted:
        parts.append(holes.inserted[end])
    return parts


def _token(tokens: Tokens, index: int) -> Sequence[Part]:
    token = tokens.tokens[index]
    raw = tokens.sql[token.start : token.end]
    if token.kind in (Kind.NUMBER, Kind.STRING):
        return (Literal(token.ordinal),)
    if token.kind is Kind.BITS:
        return (raw[0], Literal(token.ordinal)) if raw[0] in "xXbB" else (Literal(token.ordinal),)
    if token.kind is Kind.PARAMETER:
        return (_parameter(tokens, index),)
    return (raw,)


def _parameter(tokens: Tokens, index: int) -> Part:
    """In a LIMIT it must become a whole number, in whatever type the client has bound it."""
    before = [token.upper for token in tokens.tokens[max(index - 3, 0) : index]]
    parameter = Parameter(tokens.tokens[index].ordinal)
    if before[-1:] in (["LIMIT"], ["OFFSET"]) or (before[0:1] == ["LIMIT"] and before[2:] == [","]):
        return LimitSum(Constant(0), parameter)
    return parameter


def _gap(tokens: Tokens, index: int) -> str:
    between = tokens.sql[tokens.tokens[index - 1].end : tokens.tokens[index].start]
    if not between or between.isspace():
        return between
    stripped = between.strip()
    return f" {stripped} " if stripped.startswith("/*+") and stripped.count("/*") == 1 else " "


def template(*groups: Sequence[Part] | str) -> Template:
    """A template of parts in a row, with neighbouring texts joined."""
    joined: list[Part] = []
    for group in groups:
        for part in (group,) if isinstance(group, str) else group:
            if isinstance(part, str) and joined and isinstance(joined[-1], str):
                joined[-1] += part
            elif part != "":
                joined.append(part)
    return Template(tuple(joined))


def source_text(tokens: Tokens, start: int, end: int) -> str:
    """The text of some tokens as the client wrote it."""
    if start >= end:
        return ""
    return tokens.sql[tokens.tokens[start].start : tokens.tokens[end - 1].end]
