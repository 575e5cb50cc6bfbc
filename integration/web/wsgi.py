"""The application that gunicorn imports: `integration.web.wsgi:app`."""

from __future__ import annotations

from integration.core.settings import Settings
from integration.web.app import create_app

app = create_app(Settings.read())
