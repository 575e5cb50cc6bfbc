"""The signed content as a template: literal text and placeholders, compiled once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

PLACEHOLDERS = ("timestamp", "id", "url", "url_hubspot", "method", "body", "form", "secret")
_PLACEHOLDER = re.compile(rf"\{{({'|'.join(PLACEHOLDERS)})\}}")


class PlaceholderError(ValueError):
    """A template names a placeholder that does not exist: what is wrong, and what to write instead."""

    def __init__(self, literal: str) -> None:
        self.message = f"{literal!r} is not a placeholder"
        self.cure = f"use {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}, and text between them"
        super().__init__(f"template: {self.message}: {self.cure}")


@dataclass(frozen=True, slots=True)
class Piece:
    """Literal bytes, or the name of the part of the request that stands here."""

    literal: bytes = b""
    part: str = ""


def compile_template(text: str) -> tuple[Piece, ...]:
    """`{timestamp}.{body}` as pieces. Raises PlaceholderError that names one which does not exist."""
    texts = _PLACEHOLDER.split(text)
    literals, parts = texts[::2], texts[1::2]
    for literal in literals:
        if "{" in literal or "}" in literal:
            raise PlaceholderError(literal)
    pieces = [Piece(literal=literals[0].encode())]
    for part, literal in zip(parts, literals[1:], strict=True):
        pieces += [Piece(part=part), Piece(literal=literal.encode())]
    return tuple(piece for piece in pieces if piece.literal or piece.part)


def placeholders(template: tuple[Piece, ...]) -> set[str]:
    """The parts that a template names."""
    return {piece.part for piece in template if piece.part}


def render(template: tuple[Piece, ...], parts: Mapping[str, bytes]) -> bytes:
    """The signed content; parts go in as they are, without any decoding."""
    return b"".join([parts[piece.part] if piece.part else piece.literal for piece in template])
