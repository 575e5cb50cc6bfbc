"""What the stand-in answers, before it is made an HTTP response."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of an API, and for the request log whether an update was applied, or why not."""

    status: int
    body: str = ""
    content_type: str = "text/plain"
    applied: bool = False
    why: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def json_reply(content: Any, status: int = 200, *, applied: bool = False, why: str = "") -> Reply:
    """An answer with a JSON body."""
    return Reply(status, json.dumps(content), "application/json", applied, why)
