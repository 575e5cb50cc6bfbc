"""The real application with one more view, which does nothing: what the server itself costs."""

from __future__ import annotations

from flask import Response, request

from integration.core.settings import Settings
from integration.web.app import create_app

app = create_app(Settings.read())


@app.post("/empty")
def empty() -> Response:
    request.get_data()
    return Response('{"status": "accepted"}', content_type="application/json")
