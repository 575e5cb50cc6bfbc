"""Mapping files as text, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from integration.core.errors import Problem
from integration.core.values import Asked, Cause, FieldChange, Ignored, SetAside, Translation
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


def changes_of(translation: Translation) -> tuple[FieldChange, ...]:
    """What an event asks for; nothing where it asks for nothing."""
    return translation.meaning.changes if isinstance(translation.meaning, Asked) else ()


def cause_of(translation: Translation) -> Cause:
    """Why an event is a dead letter."""
    assert isinstance(translation.meaning, SetAside), translation
    return translation.meaning.cause


def reason_of(translation: Translation) -> str | None:
    """Why an event is ignored; None if it is not."""
    return translation.meaning.reason if isinstance(translation.meaning, Ignored) else None
