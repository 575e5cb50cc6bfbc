"""Mapping files as text, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from integration.core.errors import Problem
from integration.core.values import Translation
from integration.mapping import SourceMapping

ARRIVED = 1_795_428_000_000_000

Load = Callable[[str], SourceMapping]
Problems = Callable[[str], list[Problem]]
Translate = Callable[..., Translation]


def document(**blocks: Any) -> str:
    """A mapping file with one block a line, so that lines can be told: version is 1, source 2 ... rules 6."""
    whole: dict[str, Any] = {
        "version": 1,
        "source": "acme",
        "verify": {"scheme": "stripe", "secrets": ["ACME_SECRET"]},
        "event": {"type": "type"},
        "lead": {"email": "email"},
        "rules": [{"name": "r", "events": ["*"], "set": {"plan": "plan"}}],
        **blocks,
    }
    return "\n".join(f"{key}: {json.dumps(block)}" for key, block in whole.items() if block is not ...)
