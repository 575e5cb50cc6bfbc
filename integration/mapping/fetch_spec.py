"""What `fetch:` says: which object of the source's API an event is about, and where it goes. Pure.

The GET itself is made elsewhere, by `Fetch.base`, `auth` and limits; here its path is made of the event, and
its answer is put into the event's payload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from integration.core.errors import describe, shorten
from integration.core.values import EventContext, FetchRequest
from integration.files.positions import Spot
from integration.http.oauth import OAuth
from integration.mapping.conditions import Condition, compile_condition, path_at
from integration.mapping.conversions import BadValueError, text_of
from integration.mapping.paths import Nothing, Path

DEFAULT_SECONDS = 10.0
DEFAULT_MAX_BYTES = 1024 * 1024
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_HEADER_VALUE = re.compile("[!-~]([ -~]{0,498}[!-~])?")  # RFC 9110, section 5.5: no space at either end


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders: `texts` and the values at `paths` take turns."""

    texts: tuple[str, ...]
    paths: tuple[Path, ...]

    def filled(self, values: Sequence[str]) -> str:
        """The text with these values in its placeholders."""
        return self.texts[0] + "".join(
            value + text for value, text in zip(values, self.texts[1:], strict=True)
        )


@dataclass(frozen=True, slots=True)
class Fetch:
    """A compiled `fetch:`. Names of settings, never their values.

    `base` is an address or, with `base_setting`, in that setting. `auth` is `bearer`, `basic` or the name of
    a header, and `auth_setting` the setting with the token, `user:password` or value; both "" without, and
    with `oauth`. `into` is the name under which the answer stands in the payload. `path` makes the address
    below the base, `headers` the values of headers.
    """

    base: str
    base_setting: str
    auth: str
    auth_setting: str
    oauth: OAuth | None
    path: Template
    headers: Mapping[str, Template]
    into: str
    when: Condition | None
    seconds: float
    max_bytes: int
    place: str

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that must be set before anything can be fetched."""
        of_oauth = self.oauth.settings if self.oauth else ()
        return tuple(name for name in (self.base_setting, self.auth_setting, *of_oauth) if name)

    def applies_to(self, context: EventContext) -> bool:
        """Whether this event needs it. Raises ExpressionError."""
        return self.when is None or self.when.holds(context)

    def request(self, context: EventContext) -> FetchRequest:
        """What to get for this event. Raises BadValueError, ExpressionError."""
        headers = {name: self._header(name, template, context) for name, template in self.headers.items()}
        return FetchRequest(self._address(context), headers)

    def _address(self, context: EventContext) -> str:
        """Path and query below the base, values percent-encoded."""
        values = [quote(self._value(path, context, "path"), safe="") for path in self.path.paths]
        address = self.path.filled(values)
        segments = address.partition("?")[0].split("/")
        if "." in segments or ".." in segments:  # would lead to another object
            raise self._impossible("path", f"{shorten(address)} has '.' or '..' as a part")
        return address

    def _header(self, name: str, template: Template, context: EventContext) -> str:
        key = f"headers.{name}"
        value = template.filled([self._value(path, context, key) for path in template.paths])
        if not _HEADER_VALUE.fullmatch(value):
            raise self._impossible(key, f"{shorten(value)} cannot stand in a header")
        return value

    def _value(self, path: Path, context: EventContext, key: str) -> str:
        value = path.get(context)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            found = value.value if isinstance(value, Nothing) else describe(value)
            raise self._impossible(key, f"{path.text} is {found}")
        return text_of(value)

    def _impossible(self, key: str, why: str) -> BadValueError:
        cure = f"correct `fetch.{key}` in the mapping, then retry the event"
        return BadValueError("fetch_impossible", f"{self.place}: fetch.{key}: {why}", cure)

    def with_answer(self, context: EventContext) -> EventContext:
        """The event with what was fetched in its payload. Raises BadValueError."""
        if not isinstance(context.payload, dict):
            why = f"{self.place}: fetch.into: the event is {describe(context.payload)}"
            raise BadValueError("fetch_impossible", why, "correct `event.each` in the mapping, then retry")
        return replace(context, payload={**context.payload, self.into: context.fetched})


def compile_fetch(node: Mapping[str, Any], spot: Spot) -> Fetch:
    """Compile what stands under `fetch:` as the schema allows it; problems go to `spot`."""
    base, auth = node["base"], dict(node.get("auth", {}))
    oauth = OAuth(**auth.pop("oauth")) if "oauth" in auth else None
    kind, setting = _auth(auth)
    when = compile_condition(node["when"], spot / "when") if "when" in node else None
    return Fetch(
        base=base.rstrip("/") if isinstance(base, str) else "",
        base_setting="" if isinstance(base, str) else base["setting"],
        auth=kind,
        auth_setting=setting,
        oauth=oauth,
        path=_template(node["path"], spot / "path"),
        headers={
            name: _template(text, spot / "headers" / name) for name, text in node.get("headers", {}).items()
        },
        into=node.get("into", "fetched"),
        when=when,
        seconds=float(node.get("seconds", DEFAULT_SECONDS)),
        max_bytes=node.get("max_bytes", DEFAULT_MAX_BYTES),
        place=spot.place,
    )


def _template(text: str, spot: Spot) -> Template:
    parts = _PLACEHOLDER.split(text)
    if any("{" in part or "}" in part for part in parts[0::2]):
        spot.report("has a brace without its partner", "write a placeholder as {data.id}")
    return Template(tuple(parts[0::2]), tuple(path_at(part, spot) for part in parts[1::2]))


def _auth(auth: Mapping[str, str]) -> tuple[str, str]:
    """The kind of credentials, or the name of their header, and their setting."""
    if "header" in auth:
        return auth["header"], auth["setting"]
    return next(iter(auth.items()), ("", ""))
