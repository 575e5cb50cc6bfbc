"""OAuth of the stand-in: refresh tokens become access tokens that expire.

By https://developers.hubspot.com/docs/api-reference/auth-oauth-v1/guide (2026-11-23); a revoked grant is
answered with `invalid_grant`, as OAuth 2.0 has it.
"""

from __future__ import annotations

import threading
import uuid
from typing import Any

from flask import Blueprint, Response, jsonify, request

from integration.core.clock import Clock
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.sandbox.replies import Reply, json_reply


class Grants:
    """The access tokens that were issued. Every method is safe to call from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all tokens; grants are good again."""
        self.revoked = False
        self.expires_in = 1800
        self.issued = 0
        self._until: dict[str, Micros] = {}

    def issue(self) -> dict[str, Any]:
        """A new access token."""
        with self._lock:
            token = f"CN-{uuid.uuid4().hex}"
            self._until[token] = self._clock() + self.expires_in * MICROS_PER_SECOND
            self.issued += 1
        return {"access_token": token, "expires_in": self.expires_in, "token_type": "bearer"}

    def knows(self, token: str) -> bool:
        """Whether this token was issued here."""
        return token in self._until

    def is_expired(self, token: str) -> bool:
        """Whether this token was issued here and is too old, or was made to expire."""
        return token in self._until and self._until[token] <= self._clock()

    def expire_all(self) -> None:
        """Every token that was issued expires now."""
        with self._lock:
            self._until = dict.fromkeys(self._until, 0)


def oauth_blueprint(grants: Grants) -> Blueprint:
    """The token endpoints of all versions, and their control call."""
    api = Blueprint("oauth", __name__)

    @api.post("/oauth/v1/token")
    @api.post("/oauth/<version>/token")
    def token(version: str = "v1") -> tuple[Response, int]:  # noqa: ARG001 - the same in every version
        form = request.form
        needed = ("client_id", "client_secret", "refresh_token")
        if form.get("grant_type") != "refresh_token" or not all(form.get(name) for name in needed):
            return _refused("BAD_REQUEST", "missing or unknown parameters"), 400
        if grants.revoked:
            return _refused("BAD_REFRESH_TOKEN", "the grant is revoked", error="invalid_grant"), 400
        return jsonify({**grants.issue(), "refresh_token": form["refresh_token"]}), 200

    @api.post("/_sandbox/oauth")
    def control() -> Response:
        told = request.get_json()
        grants.revoked = bool(told.get("revoked", grants.revoked))
        grants.expires_in = int(told.get("expires_in", grants.expires_in))
        if told.get("expire_all"):
            grants.expire_all()
        return jsonify(revoked=grants.revoked, expires_in=grants.expires_in, issued=grants.issued)

    return api


def _refused(status: str, message: str, **more: str) -> Response:
    return jsonify(
        status=status, message=message, category="VALIDATION_ERROR", correlationId=str(uuid.uuid4()), **more
    )


def expired_reply() -> Reply:
    """How the API answers an access token that is expired."""
    message = "The OAuth token used to make this call expired 0 second(s) ago."
    content = {
        "status": "error",
        "message": message,
        "correlationId": str(uuid.uuid4()),
        "category": "EXPIRED_AUTHENTICATION",
    }
    return json_reply(content, 401, why=message)
