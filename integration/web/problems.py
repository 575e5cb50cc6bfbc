"""Errors as RFC 9457 problem details."""

from __future__ import annotations

import json
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from integration.core.errors import StoreUnavailableError
from integration.pipeline.accept import RefusedError

RETRY_AFTER_SECONDS = "10"


def problem(status: int, code: str, detail: str, challenge: str = "") -> Response:
    """A problem document: `code` is for programs and stable, `detail` for people.

    503 says when to return, 401 by `challenge` what credentials are asked for (RFC 9110, section 11.6.1).
    """
    body = {"title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if status == 503 else {}
    if challenge:
        headers["WWW-Authenticate"] = challenge
    return Response(json.dumps(body), status, headers, content_type="application/problem+json")


def register(app: Flask) -> None:
    """Answer every error as a problem document."""
    app.register_error_handler(RefusedError, _refused)
    app.register_error_handler(StoreUnavailableError, _store_unavailable)
    app.register_error_handler(HTTPException, _http_error)


def _refused(error: RefusedError) -> Response:
    return problem(error.status, error.code, error.detail, error.challenge)


def _store_unavailable(_error: StoreUnavailableError) -> Response:
    return problem(503, "store_unavailable", "The request could not be stored. Send it again later.")


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    answer = problem(status, HTTPStatus(status).phrase.lower().replace(" ", "_"), error.description or "")
    for name, value in error.get_headers():
        if name != "Content-Type":
            answer.headers[name] = value
    return answer
