"""Canonical form of CHAR and VARCHAR, BINARY and VARBINARY.

Owns: `TextCodec` and `BinaryCodec`. Text under a binary collation is its own characters; under the others it
is its weight string (`proxy.routing.collations`), computed here for ASCII, asked of a server for anything
else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.routing.collations import Collation, WeightTable
from proxy.routing.values import Canonical, KeyValue, Verdict, WeightQuestion, not_known

_PYTHON_CODECS = {"utf8mb4": "utf-8", "utf8mb3": "utf-8", "latin1": "cp1252", "ascii": "ascii"}
"""MySQL's latin1 is Windows-1252."""


@dataclass(frozen=True, slots=True)
class TextCodec:
    """A CHAR (`fixed`) or VARCHAR column of `length` characters. `table` is None for a binary collation."""

    column: str
    collation: Collation
    fixed: bool
    length: int
    table: WeightTable | None

    @property
    def family(self) -> str:
        return self.collation.name

    def lookup(self, value: KeyValue) -> Canonical:
        if value is None:
            return Verdict.NO_ROW
        text = self._text(value)
        if text is None or (self.fixed and not self.collation.pads and text.endswith(" ")):
            # CHAR drops trailing spaces when it stores; whether 'a ' finds 'a' is then the index's affair.
            return Verdict.UNKNOWN
        return self._canonical(text)

    def insert(self, value: KeyValue, strict: bool) -> Canonical:
        """Raises NotSupported when what is stored is not known."""
        if value is None:
            return Verdict.NO_ROW
        text = str(int(value)) if isinstance(value, int) else self._text(value)
        if text is None:
            raise not_known(value, self.column, f"give it as a string of {self.collation.character_set}")
        if self.fixed:
            text = text.rstrip(" ")
        if len(text) > self.length:
            if text[self.length :].strip(" "):
                if not strict:
                    raise not_known(value, self.column, f"longer than {self.length} characters")
                return Verdict.NO_ROW
            text = text[: self.length]
        return self._canonical(text)

    def _canonical(self, text: str) -> Canonical:
        if self.table is None:
            return (text.rstrip(" ") if self.collation.pads else text).encode()
        if text.isascii():
            return self.table.canonical_ascii(text.encode())
        return WeightQuestion(self.collation.name, text)

    def _text(self, value: KeyValue) -> str | None:
        """The characters, None unless the column's character set has all of them."""
        if isinstance(value, bytes):
            return self._decoded(value)
        if not isinstance(value, str):
            return None
        if value.isascii():
            return value
        try:
            value.encode(_PYTHON_CODECS[self.collation.character_set])
        except UnicodeEncodeError:
            return None
        return None if self.collation.character_set == "utf8mb3" and max(value) > "\uffff" else value

    def _decoded(self, value: bytes) -> str | None:
        """A binary string is taken as bytes of the column's character set."""
        character_set = self.collation.character_set
        if character_set == "latin1" and not value.isascii():
            return None
        try:
            return self._text(value.decode(_PYTHON_CODECS[character_set]))
        except UnicodeDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class BinaryCodec:
    """A BINARY (`fixed`) or VARBINARY column of `length` bytes."""

    column: str
    fixed: bool
    length: int
    family: str = field(default="binary")

    def lookup(self, value: KeyValue) -> Canonical:
        if value is None:
            return Verdict.NO_ROW
        data = _bytes(value)
        return Verdict.UNKNOWN if data is None else data

    def insert(self, value: KeyValue, strict: bool) -> Canonical:
        """Raises NotSupported when what is stored is not known."""
        if value is None:
            return Verdict.NO_ROW
        data = _bytes(value)
        if data is None:
            raise not_known(value, self.column, "give it as a binary string")
        if len(data) > self.length:
            if not strict:
                raise not_known(value, self.column, f"longer than {self.length} bytes")
            return Verdict.NO_ROW
        return data.ljust(self.length, b"\0") if self.fixed else data


def _bytes(value: KeyValue) -> bytes | None:
    """The bytes of a string depend on the connection's character set, unless it is ASCII."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) and value.isascii() else None
