"""Reading JSON of which only the outline is known: what is not as HubSpot's pages show it is passed over."""

from __future__ import annotations

from typing import Any


def objects(content: Any, key: str) -> list[dict[str, Any]]:
    """The objects that `content` lists under this key; none if it is not an object, or lists none."""
    listed = content.get(key) if isinstance(content, dict) else None
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def context_of(error: dict[str, Any]) -> dict[str, list[str]]:
    """The context of an error: by name, what it is about. A single value is taken as a list of one."""
    context = error.get("context")
    if not isinstance(context, dict):
        return {}
    return {
        name: [str(value) for value in (values if isinstance(values, list) else [values])]
        for name, values in context.items()
    }
