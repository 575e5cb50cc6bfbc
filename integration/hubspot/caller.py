"""Requests to HubSpot's address, the same for all of its APIs."""

from __future__ import annotations

from collections.abc import Mapping

from integration.http.client import Answer, Bounds, Client, NoAnswer

SECONDS = 30.0  # for a whole exchange
MAX_ANSWER_BYTES = 8 * 1024 * 1024  # a batch of 100 contacts with many long texts stays below it


class Caller:
    """Calls one HubSpot address, by paths below it. Safe to use from several threads at once."""

    def __init__(self, base_url: str, *, connections: int = 8, seconds: float = SECONDS) -> None:
        self._base_url = base_url.rstrip("/")
        # What HubSpot did is told by the status; that the rest of its answer never comes changes nothing.
        self._bounds = Bounds(seconds, MAX_ANSWER_BYTES, whole=False)
        self._client = Client(connections=connections)

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str], secret: str, body: bytes | None = None
    ) -> Answer | NoAnswer:
        """Make one request; `secret` is the token that must not be shown. Never raises."""
        return self._client.request(
            method, f"{self._base_url}{path}", self._bounds, headers=headers, body=body, secrets=(secret,)
        )
