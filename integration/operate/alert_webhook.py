"""Telling people: one JSON message to the webhook that ALERT_WEBHOOK_URL names.

The address is a secret: whoever has it can post. It never gets into a reason or a log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from integration.core.backoff import read_retry_after
from integration.core.clock import Clock, now
from integration.http.client import Bounds, Client, NoAnswer
from integration.operate.alerts import NotTaken

SECONDS = 15.0  # for a whole exchange


class AlertWebhook:
    """An incoming webhook of a chat or of one's own."""

    def __init__(self, url: str, *, clock: Clock = now, seconds: float = SECONDS) -> None:
        self._url = url
        self._clock = clock
        self._bounds = Bounds(seconds, max_bytes=0, whole=False)  # the answer's body says nothing
        self._client = Client(connections=0)

    def post(self, message: Mapping[str, object]) -> NotTaken | None:
        """Post a message. None if it was taken (2xx). Never raises for what the other side does."""
        headers = {"Content-Type": "application/json"}
        body = json.dumps(message).encode()
        answer = self._client.request("POST", self._url, self._bounds, headers=headers, body=body)
        if isinstance(answer, NoAnswer):
            return NotTaken(answer.words)
        if answer.is_success:
            return None
        wait = read_retry_after(answer.headers.get("retry-after"), self._clock())
        return NotTaken(f"the receiver answered {answer.status}", wait)
