"""The character sets a client may speak: names, collations, and how its bytes become text and back.

Only sets in which every byte below 0x80 is ASCII are accepted: the proxy cuts statements into tokens, and in
sets like gbk or sjis a backslash or quote byte may be half of a character. Decoding keeps every byte: what a shard
gets is what the client sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.errors import NotSupported
from proxy.session.errors import CollationMismatch, UnknownCharacterSet, UnknownCollation


@dataclass(frozen=True, slots=True)
class Charset:
    name: str
    codec: str
    errors: str
    default_collation: str

    def decode(self, text: bytes) -> str:
        return text.decode(self.codec, self.errors)

    def encode(self, text: str) -> bytes:
        return text.encode(self.codec, self.errors)


UTF8MB4 = Charset("utf8mb4", "utf-8", "surrogateescape", "utf8mb4_general_ci")
UTF8MB3 = Charset("utf8mb3", "utf-8", "surrogateescape", "utf8mb3_general_ci")
LATIN1 = Charset("latin1", "cp1252", "surrogateescape", "latin1_swedish_ci")
ASCII = Charset("ascii", "ascii", "surrogateescape", "ascii_general_ci")
BINARY = Charset("binary", "ascii", "surrogateescape", "binary")

_CHARSETS = {
    "utf8mb4": UTF8MB4,
    "utf8mb3": UTF8MB3,
    "utf8": UTF8MB3,
    "latin1": LATIN1,
    "ascii": ASCII,
    "binary": BINARY,
}

_COLLATION_IDS: dict[int, tuple[Charset, str]] = {
    8: (LATIN1, "latin1_swedish_ci"),
    5: (LATIN1, "latin1_german1_ci"),
    15: (LATIN1, "latin1_danish_ci"),
    31: (LATIN1, "latin1_german2_ci"),
    47: (LATIN1, "latin1_bin"),
    48: (LATIN1, "latin1_general_ci"),
    49: (LATIN1, "latin1_general_cs"),
    94: (LATIN1, "latin1_spanish_ci"),
    11: (ASCII, "ascii_general_ci"),
    65: (ASCII, "ascii_bin"),
    33: (UTF8MB3, "utf8mb3_general_ci"),
    83: (UTF8MB3, "utf8mb3_bin"),
    192: (UTF8MB3, "utf8mb3_unicode_ci"),
    45: (UTF8MB4, "utf8mb4_general_ci"),
    46: (UTF8MB4, "utf8mb4_bin"),
    224: (UTF8MB4, "utf8mb4_unicode_ci"),
    63: (BINARY, "binary"),
}
"""Those of a login packet that mean the same on MySQL and MariaDB; others mean utf8mb4 with its default collation."""


def charset_named(name: str) -> Charset:
    """Raises UnknownCharacterSet, or NotSupported for one that no client may speak here."""
    charset = _CHARSETS.get(name.lower())
    if charset is not None:
        return charset
    if name.lower() in _REFUSED:
        raise NotSupported(f"character set {name} for a connection")
    raise UnknownCharacterSet(name)


_REFUSED = frozenset(
    "big5 cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 cp932 dec8 eucjpms euckr gb18030 gb2312 gbk geostd8 greek "
    "hebrew hp8 keybcs2 koi8r koi8u latin2 latin5 latin7 macce macroman sjis swe7 tis620 ucs2 ujis utf16 utf16le "
    "utf32".split()
)


def check_collation(collation: str, charset: Charset) -> None:
    """Whether the collation's name belongs to the character set; that it exists is for the shard to say."""
    family = collation.lower().split("_", 1)[0]
    if family == "uca1400" and charset is UTF8MB4:
        return
    if family not in _CHARSETS and family not in _REFUSED:
        raise UnknownCollation(collation)
    if _CHARSETS.get(family) is not charset:
        raise CollationMismatch(collation, charset.name)


def charset_of_collation(collation: str) -> Charset:
    family = collation.lower().split("_", 1)[0]
    if family == "uca1400":
        return UTF8MB4
    if family not in _CHARSETS and family not in _REFUSED:
        raise UnknownCollation(collation)
    return charset_named(family)


def login_collation(collation_id: int) -> tuple[Charset, str | None]:
    """The character set and collation of a login; None: the shards' default one for the set."""
    if collation_id in _COLLATION_IDS:
        return _COLLATION_IDS[collation_id]
    return UTF8MB4, None
