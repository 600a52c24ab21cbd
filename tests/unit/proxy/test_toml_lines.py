"""The line of every key, also behind values that span lines."""

from __future__ import annotations

from proxy.toml_lines import key_lines, line_of

DOCUMENT = '''\
# a comment
top = 1

[a]            # a header
b = [
  1,  # [not a header]
  2,
]
text = """
[inside]
fake = 1
"""
"quoted.key" = 3
d.e = 4

[[list]]
x = 1

[[list]]
x = 2
[list.sub]
y = { z = 1 }
'''


def test_every_key_has_its_line() -> None:
    lines = key_lines(DOCUMENT)
    assert lines == {
        ("top",): 2,
        ("a",): 4,
        ("a", "b"): 5,
        ("a", "text"): 9,
        ("a", "quoted.key"): 13,
        ("a", "d", "e"): 14,
        ("list", 0): 16,
        ("list", 0, "x"): 17,
        ("list", 1): 19,
        ("list", 1, "x"): 20,
        ("list", 1, "sub"): 21,
        ("list", 1, "sub", "y"): 22,
    }


def test_what_has_no_line_gets_that_of_what_is_around_it() -> None:
    lines = key_lines(DOCUMENT)
    assert line_of(lines, ("list", 1, "missing")) == 19
    assert line_of(lines, ("list", 1, "sub", "y", "z")) == 22
    assert line_of(lines, ("nowhere", "x")) is None
