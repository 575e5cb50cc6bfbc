"""Telling people (level 2): one JSON message to the webhook that ALERT_WEBHOOK_URL names.

The address is a secret: whoever has it can post. It never gets into a reason or a log.
"""

from __future__ import annotations

from collections.abc import Mapping

import requests
import urllib3

from integration.http.network import in_words

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0


class AlertWebhook:
    """An incoming webhook of a chat or of one's own."""

    def __init__(
        self, url: str, *, connect_seconds: float = CONNECT_SECONDS, read_seconds: float = READ_SECONDS
    ) -> None:
        self._url = url
        self._timeouts = (connect_seconds, read_seconds)

    def post(self, message: Mapping[str, object]) -> str | None:
        """Post a message. None if it was taken (2xx), else why not, in words. Never raises for what the
        network or the receiver does. Redirects are not followed, the answer's body is not read.
        """
        try:
            with requests.Session() as session:
                session.trust_env = False  # as calls to HubSpot: no variable or .netrc sends it elsewhere
                with session.post(
                    self._url, json=message, timeout=self._timeouts, allow_redirects=False, stream=True
                ) as response:
                    status = response.status_code
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            return in_words(error, *self._timeouts)
        return None if 200 <= status < 300 else f"the receiver answered {status}"
