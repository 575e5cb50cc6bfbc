"""Target `mapping`: the events of every shipped mapping in a decoded payload, and what it makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fuzz import material
from fuzz.message import chosen, read, write
from integration.body import MalformedBody, decode
from integration.config.sources import Source
from integration.core.values import Asked, Cause, EventContext, FetchRequest, Ignored, SetAside, Update
from integration.lead.merge import merge
from integration.mapping.source_mapping import LONGEST_KEY
from integration.pipeline.translate import translate_and_validate
from integration.store.documents import fields_text, read_fields

MOST_EVENTS = 20  # of one input: more tell nothing new


def run(data: bytes) -> None:
    """Events with keys that can be stored; each is an update, ignored, dead with words, or wants a fetch."""
    message = read(data)
    source = material.source(chosen(message.word(0), material.source_names()))
    try:
        payload = decode(message.headers, message.body, material.LIMIT)
    except MalformedBody:
        return
    mapping, query = source.mapping, message.word(1)
    request = mapping.request_context(payload, message.headers, query, material.NOW)
    for incoming in mapping.incoming(payload, message.headers, query, material.NOW)[:MOST_EVENTS]:
        assert 0 < len(incoming.dedup_key) <= LONGEST_KEY, incoming
        for text in (incoming.dedup_key, incoming.type or ""):
            assert text.isprintable(), incoming
            text.encode()
        context = request.event(incoming.position)
        _check(source, context)
        if mapping.fetch is not None:
            _check(source, replace(context, fetched=payload))


def _check(source: Source, context: EventContext) -> None:
    translation = translate_and_validate(material.configuration(), source, context)
    traced = translate_and_validate(material.configuration(), source, context, trace=True)
    assert replace(traced, steps=()) == replace(translation, steps=()), (traced, translation)
    for step in traced.steps:
        assert step.place, step
        step.text.encode("utf-8", "surrogatepass")
    match translation.meaning:
        case SetAside(cause=cause):
            _check_cause(cause)
        case FetchRequest(address=address):
            assert address.startswith("/"), address
            assert address.isascii(), address
        case Asked() as asked:
            _check_update(asked, translation.occurred_at)
        case Ignored(reason=reason):
            assert reason


def _check_cause(cause: Cause) -> None:
    assert cause.code.isidentifier(), cause
    assert cause.detail, cause
    assert cause.cure, cause
    assert "cannot be translated: " not in cause.detail, cause  # what no part of the translation expected
    cause.detail.encode()


def _check_update(asked: Asked, occurred_at: int | None) -> None:
    assert occurred_at is not None
    assert asked.identifiers
    for identifier in asked.identifiers:
        assert identifier.value, identifier
        identifier.value.encode()
    update = Update("event", (occurred_at, "x/key"), asked.changes)
    state = merge({}, [update])
    assert read_fields(fields_text(state)) == state, state
    assert merge(state, [update]) == state or any(change.write == "sum" for change in asked.changes)


def seeds() -> Iterator[bytes]:
    """Every example."""
    for name, kind, body in material.examples():
        yield write([name, "type=paid"], {"content-type": kind}, body)
