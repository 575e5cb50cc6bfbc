"""What `fetch:` says: which object of the source's API an event is about, and where it goes. Pure.

The GET itself is made elsewhere, by `Fetch.base`, `auth` and limits; here its path is made of the event, and
its answer is put into the event's payload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from integration.errors import shorten
from integration.mapping.conditions import Condition, compile_condition, path_at
from integration.mapping.conversions import BadValueError, describe, text_of
from integration.mapping.paths import Nothing, Path
from integration.mapping.spots import Spot
from integration.records import EventContext

DEFAULT_SECONDS = 10.0
DEFAULT_MAX_BYTES = 1024 * 1024
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_CURE = "correct `fetch.path` in the mapping, then retry the event"


@dataclass(frozen=True, slots=True)
class Fetch:
    """A compiled `fetch:`. Names of settings, never their values.

    `base` is an address or, with `base_setting`, in that setting. `auth` is `bearer`, `basic` or the name of
    a header, and `auth_setting` the setting with the token, `user:password` or value; both "" without.
    `into` is the name under which the answer stands in the payload. `texts` and `paths` alternate in the
    address below the base.
    """

    base: str
    base_setting: str
    auth: str
    auth_setting: str
    headers: Mapping[str, str]
    into: str
    when: Condition | None
    seconds: float
    max_bytes: int
    place: str
    texts: tuple[str, ...]
    paths: tuple[Path, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that must be set before anything can be fetched."""
        return tuple(name for name in (self.base_setting, self.auth_setting) if name)

    def applies_to(self, context: EventContext) -> bool:
        """Whether this event needs it. Raises ExpressionError."""
        return self.when is None or self.when.holds(context)

    def address(self, context: EventContext) -> str:
        """Path and query below the base, values percent-encoded. Raises BadValueError, ExpressionError."""
        values = [quote(self._value(path, context), safe="") for path in self.paths]
        address = self.texts[0] + "".join(
            value + text for value, text in zip(values, self.texts[1:], strict=True)
        )
        segments = address.partition("?")[0].split("/")
        if "." in segments or ".." in segments:  # would lead to another object
            raise self._impossible(f"{shorten(address)} has '.' or '..' as a part")
        return address

    def _value(self, path: Path, context: EventContext) -> str:
        value = path.get(context)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            found = value.value if isinstance(value, Nothing) else describe(value)
            raise self._impossible(f"{path.text} is {found}")
        return text_of(value)

    def _impossible(self, why: str) -> BadValueError:
        return BadValueError("fetch_impossible", f"{self.place}: fetch.path: {why}", _CURE)

    def with_answer(self, context: EventContext) -> EventContext:
        """The event with what was fetched in its payload. Raises BadValueError."""
        if not isinstance(context.payload, dict):
            why = f"{self.place}: fetch.into: the event is {describe(context.payload)}"
            raise BadValueError("fetch_impossible", why, "correct `event.each` in the mapping, then retry")
        return replace(context, payload={**context.payload, self.into: context.fetched})


def compile_fetch(node: Mapping[str, Any], spot: Spot) -> Fetch:
    """Compile what stands under `fetch:` as the schema allows it; problems go to `spot`."""
    template = node["path"]
    texts = _PLACEHOLDER.split(template)
    for text in texts[0::2]:
        if "{" in text or "}" in text:
            (spot / "path").report("has a brace without its partner", "write a placeholder as {data.id}")
            break
    base, auth = node["base"], dict(node.get("auth", {}))
    kind, setting = _auth(auth)
    when = compile_condition(node["when"], spot / "when") if "when" in node else None
    return Fetch(
        base=base.rstrip("/") if isinstance(base, str) else "",
        base_setting="" if isinstance(base, str) else base["setting"],
        auth=kind,
        auth_setting=setting,
        headers=dict(node.get("headers", {})),
        into=node.get("into", "fetched"),
        when=when,
        seconds=float(node.get("seconds", DEFAULT_SECONDS)),
        max_bytes=node.get("max_bytes", DEFAULT_MAX_BYTES),
        place=spot.place,
        texts=tuple(texts[0::2]),
        paths=tuple(path_at(text, spot / "path") for text in texts[1::2]),
    )


def _auth(auth: Mapping[str, str]) -> tuple[str, str]:
    """The kind of credentials, or the name of their header, and their setting."""
    if "header" in auth:
        return auth["header"], auth["setting"]
    return next(iter(auth.items()), ("", ""))
