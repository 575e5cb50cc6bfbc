"""Forms as they are signed: names and values as the bytes that the sender wrote, in any encoding."""

from __future__ import annotations

from urllib.parse import parse_qsl

_BYTES = "latin-1"  # one character for each byte: parse_qsl of bytes refuses all that is not ASCII


def form_fields(body: bytes, most: int) -> list[tuple[bytes, bytes]]:
    """The names and values of a form, percent-decoded. Raises ValueError if it has more than `most`."""
    pairs = parse_qsl(body.decode(_BYTES), keep_blank_values=True, max_num_fields=most, encoding=_BYTES)
    return [(name.encode(_BYTES), value.encode(_BYTES)) for name, value in pairs]
