"""Keeps HubSpot's token, which stands in the URL of each request, out of texts and logs."""

from __future__ import annotations

import logging
import re
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
_IN_QUERY = re.compile(r"((?:access_token|hapikey)=)[^&\s\"'<>]+", re.IGNORECASE)
_URL_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")


def redact_url(text: str) -> str:
    """The text (a URL, or one that quotes URLs) with the value of every token parameter replaced."""
    return _IN_QUERY.sub(rf"\g<1>{REDACTED}", text)


def redact_text(text: str, token: str) -> str:
    """The text from outside with the token replaced, plain or percent-encoded, and token parameters too."""
    for form in {token, quote(token, safe=""), quote_plus(token)} - {""}:
        text = re.sub(re.escape(form), REDACTED, text, flags=re.IGNORECASE)  # %2F is also written %2f
    return redact_url(text)


class _UrlFilter(logging.Filter):
    """Replaces tokens in a record before any handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact_url(record.getMessage()), None
        return True


_URL_FILTER = _UrlFilter()


def redact_http_logs() -> None:
    """From now on urllib3, which logs the URL of each request at DEBUG, logs it without the token."""
    for name in _URL_LOGGERS:
        logging.getLogger(name).addFilter(_URL_FILTER)
