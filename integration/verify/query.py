"""Query strings as they are on the wire: reading and replacing values without touching the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote_plus

from integration.core.values import RawRequest


def read_parameter(query: str, name: str) -> str | None:
    """The first value of a parameter, still percent-encoded; None if it is not there."""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if unquote_plus(key) == name:
            return value
    return None


def drop_parameter(url: str, name: str) -> str:
    """The URL without a parameter."""
    base, _, query = url.partition("?")
    kept = [
        pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) != name
    ]  # fmt: skip
    return f"{base}?{'&'.join(kept)}" if kept else base


def replace_values(
    request: RawRequest, chosen: Callable[[str], bool], change: Callable[[str], str]
) -> RawRequest:
    """The request with the values of the chosen parameters changed, in `url` and in `query`."""

    def changed(query: str) -> str:
        return "&".join([_changed_pair(pair, chosen, change) for pair in query.split("&")])

    base, mark, query = request.url.partition("?")
    return replace(request, url=f"{base}{mark}{changed(query)}", query=changed(request.query))


def _changed_pair(pair: str, chosen: Callable[[str], bool], change: Callable[[str], str]) -> str:
    key, equals, value = pair.partition("=")
    return f"{key}={change(value)}" if equals and chosen(unquote_plus(key)) else pair
