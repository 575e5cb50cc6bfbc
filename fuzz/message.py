"""One input of a target: a few words, headers and a body, written so that mutations stay meaningful.

POST /hooks/stripe?a=b signed
content-type: application/json

{"id": "evt_1"}
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """The words of the first line, headers by lower-case name, and the body. Any bytes are one."""

    words: Sequence[str]
    headers: Mapping[str, str]
    body: bytes

    def word(self, position: int) -> str:
        """The word at a position; "" if there are fewer."""
        return self.words[position] if position < len(self.words) else ""


def read(data: bytes) -> Message:
    """The message that any bytes are. Texts are Latin-1, as WSGI hands them over, and as there without NUL
    and line breaks, which no server lets through.
    """
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.decode("latin-1").replace("\0", "").replace("\r", "").split("\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        if colon and key:
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return Message(first.split(" "), headers, body)


def write(words: Sequence[str], headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes that `read` makes the same message of."""
    lines = [" ".join(words), *(f"{name}: {value}" for name, value in headers.items())]
    return "\n".join(lines).encode("latin-1", "replace") + b"\n\n" + body


def chosen(text: str, names: Sequence[str]) -> str:
    """The name that a word is; a word that is none stands for one of them."""
    return text if text in names else names[zlib.crc32(text.encode("utf-8", "surrogatepass")) % len(names)]
