"""Keeps secrets out of what is kept or shown of an answer. What is parsed stays as it came."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
_IN_QUERY = re.compile(r"((?:access_token|hapikey)=)[^&\s\"'<>]+", re.IGNORECASE)


def redact_url(text: str) -> str:
    """The text (a URL, or one that quotes URLs) with the value of every token parameter replaced."""
    return _IN_QUERY.sub(rf"\g<1>{REDACTED}", text)


def redact_text(text: str, secrets: Collection[str]) -> str:
    """The text from outside with each secret replaced, plain or percent-encoded, and token parameters too."""
    forms = {
        form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret)) if form
    }
    for form in sorted(forms, key=len, reverse=True):
        text = re.sub(re.escape(form), REDACTED, text, flags=re.IGNORECASE)  # %2F is also written %2f
    return redact_url(text)
