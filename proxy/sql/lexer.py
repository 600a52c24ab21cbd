"""Cuts a statement into tokens, and gives the fingerprint that statements differing in literals only share.

The rule kept here: what the proxy takes for a string, a comment or a name is what the shards take for it. So the
sql_modes that change the cutting (ANSI_QUOTES, NO_BACKSLASH_ESCAPES, …) are refused when a session sets them, and
an executable comment that only some server versions would run is refused here (`version_comments` has dealt with it).

Source: MySQL 8.0 manual, "Literal Values", "Schema Object Names", "Comments"; MariaDB knowledge base, "Comment
Syntax".
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from proxy.errors import NotSupported
from proxy.sql.errors import SyntaxProblem

_SINGLE = r"[^'\\]*(?:(?:''|\\.)[^'\\]*)*'"
_DOUBLE = r'[^"\\]*(?:(?:""|\\.)[^"\\]*)*"'
_STRING = f"'{_SINGLE}|\"{_DOUBLE}"
_NAME = r"`[^`]*(?:``[^`]*)*`"
_SPACE = r" \t\n\r\f\v"
_LETTER = r"0-9A-Za-z_$\x80-\uffff"
"""What an unquoted name is made of. Python's own classes will not do: Unicode has other letters and digits."""
_COMMENT = r"/\*.*?\*/|--(?=[\x00-\x20]|$)[^\n]*|\#[^\n]*"

_FINGERPRINT = re.compile(
    rf"""(['"`/#\-.0-9](?:
        (?<=')(?:{_SINGLE})
        |(?<=")(?:{_DOUBLE})
        |(?<=`)[^`]*(?:``[^`]*)*`
        |(?<![{_LETTER}@`.].)(?:(?<=[0-9])|(?<=\.)(?=[0-9]))
            (?:(?<=0)(?:x[0-9a-fA-F]+|b[01]+)|(?:(?<=\.)[0-9]+|[0-9]*(?:\.[0-9]*)?)(?:[eE][+-]?[0-9]+)?)
            (?![{_LETTER}])
        |(?<=/)\*.*?\*/
        |(?<=-)-(?=[\x00-\x20]|$)[^\n]*
        |(?<=\#)[^\n]*
    ))""",
    re.DOTALL | re.VERBOSE,
)
"""Each branch looks back at the one character that was taken: a search for a set of characters is fast."""
_LITERAL_STARTS = frozenset("'\"0123456789.")

MARK = "\0"
"""Stands for a literal in a fingerprint. A statement that holds a NUL byte itself has no fingerprint."""


def fingerprint(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with MARK for each literal, and the literals' raw texts in order."""
    pieces = _FINGERPRINT.split(sql)
    literals: list[str] = []
    for index in range(1, len(pieces), 2):
        piece = pieces[index]
        if piece[0] in _LITERAL_STARTS:
            literals.append(piece)
            pieces[index] = MARK
    return "".join(pieces), tuple(literals)


class Kind(enum.IntEnum):
    WORD = 1
    """A keyword or an unquoted name."""
    NAME = 2
    """A name in backticks; `text` is without them."""
    STRING = 3
    NUMBER = 4
    BITS = 5
    """x'…', b'…', 0x…, 0b…"""
    OPERATOR = 6
    PARAMETER = 7
    """A question mark; `ordinal` is its number."""
    USER_VARIABLE = 8
    """@name; `text` is the name in lower case."""
    SYSTEM_VARIABLE = 9
    """@@[scope.]name; `text` is what follows the @@."""
    END = 10


class Token(NamedTuple):
    """`upper` is the word in upper case (WORD), the operator (OPERATOR), else empty, so that it matches keywords.

    `ordinal`: the literal's or the parameter's number, else -1.
    """

    kind: Kind
    text: str
    upper: str
    start: int
    end: int
    ordinal: int


_TOKEN = re.compile(
    rf"""(?P<space>[{_SPACE}]+)
    |(?P<bits>[xX]'[0-9a-fA-F]*'|[bB]'[01]*'|0x[0-9a-fA-F]+(?![{_LETTER}])|0b[01]+(?![{_LETTER}]))
    |(?P<string>{_STRING})
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![{_LETTER}]))
    |(?P<word>[{_LETTER}]+)
    |(?P<name>{_NAME})
    |(?P<executable>/\*M?![0-9]*)
    |(?P<comment>{_COMMENT})
    |(?P<system>@@(?:[A-Za-z_]+\s*\.\s*)?(?:[{_LETTER}]+|{_NAME}))
    |(?P<user>@(?:[{_LETTER}.]+|{_STRING}|{_NAME}))
    |(?P<close>\*/)
    |(?P<operator><=>|->>|->|:=|<=|>=|<>|!=|<<|>>|&&|\|\||[-+*/%^~&|!=<>(),.;:{{}}])
    |(?P<parameter>\?)""",
    re.DOTALL | re.VERBOSE,
)

EVERYWHERE_EXECUTED = 50_699
"""`/*!NNNNN` up to this version is run by every server in use; MariaDB leaves out 50700 to 99999."""


class Tokens(NamedTuple):
    """A cut statement. `literals` as in `fingerprint`; `comments` the texts of plain comments."""

    sql: str
    tokens: list[Token]
    literals: tuple[str, ...]
    parameters: int
    comments: tuple[str, ...]


def tokenize(sql: str) -> Tokens:
    """Cut a whole text (several statements keep their `;` tokens). Raises SyntaxProblem, NotSupported."""
    tokens: list[Token] = []
    literals: list[str] = []
    comments: list[str] = []
    parameters, position, in_executable = 0, 0, False
    scan = _TOKEN.match
    while position < len(sql):
        match = scan(sql, position)
        if match is None:
            raise SyntaxProblem(sql, position)
        group, start, end, text = match.lastgroup, position, match.end(), match.group()
        position = end
        if group == "space":
            continue
        if group == "word":
            upper = text.upper() if text.isascii() else ""
            tokens.append(Token(Kind.WORD, text, upper, start, end, -1))
        elif group == "operator":
            if text == "/" and sql.startswith("*", end):
                raise SyntaxProblem(sql, start)  # A comment that does not end.
            tokens.append(Token(Kind.OPERATOR, text, text, start, end, -1))
        elif group in ("number", "string", "bits"):
            tokens.append(Token(_LITERAL_KINDS[group], text, "", start, end, len(literals)))
            literals.append(text[1:] if text[0] in "xXbB" else text)
        elif group == "name":
            tokens.append(Token(Kind.NAME, text[1:-1].replace("``", "`"), "", start, end, -1))
        elif group == "parameter":
            tokens.append(Token(Kind.PARAMETER, text, "", start, end, parameters))
            parameters += 1
        elif group == "comment":
            if text.startswith("/*+") and "SET_VAR" in text.upper():
                raise NotSupported("the optimizer hint SET_VAR")
            comments.append(text)
        elif group == "executable":
            _check_executable(text, in_executable)
            in_executable = True
        elif group == "close" and in_executable:
            in_executable = False
        elif group in ("user", "system"):
            tokens.append(_variable(group, text, start, end))
        else:
            raise SyntaxProblem(sql, start)
    if in_executable:
        raise SyntaxProblem(sql, len(sql))
    tokens.append(Token(Kind.END, "", "", len(sql), len(sql), -1))
    return Tokens(sql, tokens, tuple(literals), parameters, tuple(comments))


_LITERAL_KINDS = {"number": Kind.NUMBER, "string": Kind.STRING, "bits": Kind.BITS}


def _check_executable(text: str, nested: bool) -> None:
    digits = text.rpartition("!")[2]
    if nested or text.startswith("/*M") or (digits and int(digits) > EVERYWHERE_EXECUTED):
        raise NotSupported(f"an executable comment {text} … */ (not every server runs it)")


def _variable(group: str, text: str, start: int, end: int) -> Token:
    if group == "system":
        return Token(Kind.SYSTEM_VARIABLE, text[2:], "", start, end, -1)
    name = text[1:]
    if name[0] in "'\"`":
        name = name[1:-1]
    return Token(Kind.USER_VARIABLE, name.lower(), "", start, end, -1)


SKIPPED_TEXT = f"{_STRING}|{_NAME}|{_COMMENT}"
"""A pattern for what hides the signs inside of it."""
_SPLIT = re.compile(f"{SKIPPED_TEXT}|;", re.DOTALL)


def split_statements(sql: str) -> list[str]:
    """The statements of a multi-statement text, without their semicolons; empty ones are left out."""
    if ";" not in sql:
        return [sql]
    statements: list[str] = []
    begin = 0
    for match in _SPLIT.finditer(sql):
        if match.group() == ";":
            statements.append(sql[begin : match.start()])
            begin = match.end()
    statements.append(sql[begin:])
    return [statement for statement in statements if statement.strip()]
