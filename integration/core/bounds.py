"""Bounds: how long a text may be that becomes an entry of an index, and what a text must not hold.

A row of a PostgreSQL B-tree holds 2,704 bytes (https://www.postgresql.org/docs/current/btree.html), and an
index on two texts needs room for both. So every text from outside that becomes a key is at most this long,
in bytes of UTF-8: a character takes up to four. SQLite has no such bound, and is held to the same.
"""

from __future__ import annotations

import re

LONGEST_KEY_BYTES = 1_024

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL's text takes neither


def storable(text: str) -> str:
    """The text with a replacement character for what no database takes: NUL and halves of surrogate pairs."""
    return _UNSTORABLE.sub("\ufffd", text) if _UNSTORABLE.search(text) else text


def unusable_as_key(text: str) -> str | None:
    """Why this text cannot be a key of an index, as the end of a sentence about it; None if it can."""
    if _UNSTORABLE.search(text):
        return "holds a NUL or half of a character, which no database takes"
    size = len(text.encode())
    if size > LONGEST_KEY_BYTES:
        return f"is {size:,} bytes long; at most {LONGEST_KEY_BYTES:,} are possible"
    return None
