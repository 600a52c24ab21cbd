"""The words of a `txguard:` hint, the same in a statement's comment and in a table's COMMENT.

What they mean, `proxy.ddl.hints` says.
"""

from __future__ import annotations

import re

_EQUALS = re.compile(r"\s*=\s*")


def hint_pairs(text: str) -> list[tuple[str, str]]:
    """What stands behind `txguard:`, up to a semicolon, as (key, value); a bare word has an empty value."""
    words = _EQUALS.sub("=", text.partition(";")[0]).replace(",", " ").split()
    return [(key, value) for key, _, value in (word.partition("=") for word in words)]
