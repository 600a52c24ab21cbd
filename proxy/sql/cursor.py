"""A place in a statement's tokens, and the small steps that every part of the parser is made of."""

from __future__ import annotations

from typing import NoReturn

from proxy.errors import NotSupported
from proxy.sql.errors import SyntaxProblem
from proxy.sql.lexer import Kind, Token, Tokens

RESERVED = frozenset(
    """ADD ALL ALTER ANALYZE AND AS ASC BEFORE BETWEEN BOTH BY CALL CASCADE CASE CHANGE CHECK COLLATE COLUMN
    CONDITION CONSTRAINT CONTINUE CONVERT CREATE CROSS DATABASES DECLARE DEFAULT DELETE DESC DESCRIBE DISTINCT
    DISTINCTROW DIV DROP DUAL EACH ELSE ELSEIF ENCLOSED ESCAPED EXCEPT EXISTS EXIT EXPLAIN FALSE FETCH FOR FORCE
    FOREIGN FROM FULLTEXT GRANT GROUP HAVING HIGH_PRIORITY IF IGNORE IN INDEX INFILE INNER INSERT INTERSECT
    INTERVAL INTO IS ITERATE JOIN KEY KEYS KILL LEADING LEAVE LEFT LIKE LIMIT LINES LOAD LOCK LOOP LOW_PRIORITY
    MATCH MOD NATURAL NOT NULL ON OPTIMIZE OPTION OPTIONALLY OR ORDER OUT OUTER OUTFILE OVER PARTITION PRIMARY
    PROCEDURE PURGE READ REFERENCES REGEXP RELEASE RENAME REPEAT REPLACE REQUIRE RESIGNAL RESTRICT RETURN
    RETURNING REVOKE RIGHT RLIKE SCHEMA SCHEMAS SELECT SEPARATOR SET SHOW SIGNAL SPATIAL SQL_BIG_RESULT
    SQL_CALC_FOUND_ROWS SQL_SMALL_RESULT STARTING STRAIGHT_JOIN TABLE TERMINATED THEN TO TRAILING TRIGGER TRUE
    UNDO UNION UNIQUE UNLOCK UPDATE USAGE USE USING VALUES WHEN WHERE WHILE WINDOW WITH WRITE XOR
    LATERAL""".split()
)
"""Reserved in MySQL 8 or MariaDB 10.11 (or both), and such that planning must not take it for a name."""


class Cursor:
    """Reads tokens from left to right. `here` is the index of the next one."""

    def __init__(self, cut: Tokens) -> None:
        self.cut = cut
        self.tokens = cut.tokens
        self.here = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.here]

    def peek(self, ahead: int = 1) -> Token:
        return self.tokens[min(self.here + ahead, len(self.tokens) - 1)]

    def at(self, *words: str) -> bool:
        """Whether the next token is one of these keywords or operators."""
        return self.tokens[self.here].upper in words

    def at_sequence(self, *words: str) -> bool:
        return all(self.peek(index).upper == word for index, word in enumerate(words))

    def accept(self, *words: str) -> bool:
        if self.tokens[self.here].upper in words:
            self.here += 1
            return True
        return False

    def accept_sequence(self, *words: str) -> bool:
        if self.at_sequence(*words):
            self.here += len(words)
            return True
        return False

    def expect(self, *words: str) -> Token:
        token = self.tokens[self.here]
        if token.upper not in words:
            self.fail()
        self.here += 1
        return token

    def advance(self) -> Token:
        token = self.tokens[self.here]
        if token.kind is not Kind.END:
            self.here += 1
        return token

    def at_end(self) -> bool:
        token = self.tokens[self.here]
        return token.kind is Kind.END or (token.upper == ";" and self.peek().kind is Kind.END)

    def expect_end(self) -> None:
        if not self.at_end():
            self.fail()

    def at_name(self) -> bool:
        """An identifier: in backticks, or a word that is not reserved."""
        token = self.tokens[self.here]
        return token.kind is Kind.NAME or (token.kind is Kind.WORD and token.upper not in RESERVED)

    def name(self) -> str:
        if not self.at_name():
            self.fail()
        return self.advance().text

    def name_after_dot(self) -> str:
        """After a dot any word is a name, reserved or not."""
        if self.token.kind not in (Kind.NAME, Kind.WORD):
            self.fail()
        return self.advance().text

    def qualified_name(self) -> tuple[str | None, str]:
        """[schema .] name"""
        name = self.name()
        if self.accept("."):
            return name, self.name_after_dot()
        return None, name

    def skip_parentheses(self) -> None:
        """From an opening parenthesis to behind its closing one."""
        self.expect("(")
        depth = 1
        while depth:
            token = self.advance()
            if token.kind is Kind.END:
                self.fail()
            depth += (token.upper == "(") - (token.upper == ")")

    def fail(self) -> NoReturn:
        raise SyntaxProblem(self.cut.sql, self.token.start)

    def refuse(self, construct: str) -> NoReturn:
        raise NotSupported(construct)
