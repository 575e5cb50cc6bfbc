"""From the bytes of a request to its payload: JSON, a form or XML, perhaps compressed. Pure, and strict."""

from __future__ import annotations

from integration.body.decoding import MAX_DEPTH, MAX_FORM_DEPTH, MAX_FORM_FIELDS, decode
from integration.body.refusal import MalformedBody

__all__ = ["MAX_DEPTH", "MAX_FORM_DEPTH", "MAX_FORM_FIELDS", "MalformedBody", "decode"]
