"""Reading stored requests again: each once for all of its events, as its mapping looks at it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from integration.body import MalformedBody, decode
from integration.config.sources import Source, load_configuration
from integration.core.values import MAIN_ACCOUNT, Asked, EventContext, RawRequest
from integration.mapping import SourceMapping
from integration.pipeline.reading import EventReader
from integration.pipeline.translate import translate_events
from integration.store.inbox import ClaimedEvent

LIMIT = 10_000
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
BODY = {"batches": [{"events": [{"guid": "g0"}, {"guid": "g1"}]}, {"events": [{"guid": "g2"}]}]}


def source_with(folder: Path, **blocks: Any) -> Source:
    mapping = {
        "version": 1,
        "source": "shop",
        "verify": {"scheme": "token", "secrets": ["SHOP_TOKEN"]},
        "event": {"each": "batches[].events[]", "type": {"value": "any"}},
        "lead": {"guid": "guid"},
        "rules": [{"name": "all", "events": ["*"], "set": {"city": {"value": "Ulm"}}}],
        **blocks,
    }
    (folder / "shop").mkdir()
    (folder / "shop" / "mapping.yaml").write_text(json.dumps(mapping))
    source = load_configuration(folder, {}).sources["shop"]
    assert isinstance(source, Source), source
    return source


def claimed(
    position: int, request_id: str = "r1", body: bytes = b"", headers: dict[str, str] = JSON
) -> ClaimedEvent:
    request = RawRequest(MAIN_ACCOUNT, "shop", "POST", "u", "", headers, body or json.dumps(BODY).encode(), 1)
    return ClaimedEvent(f"{request_id}-{position}", "shop", position, f"k{position}", request_id, request)


def own_part(context: EventContext | MalformedBody) -> Any:
    assert isinstance(context, EventContext)
    return context.payload


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often bodies were decoded, and events were found in them."""
    counts: Counter[str] = Counter()
    find = SourceMapping.request_context

    def decoding(*arguments: Any) -> Any:
        counts["decoded"] += 1
        return decode(*arguments)

    def finding(*arguments: Any) -> Any:
        counts["found"] += 1
        return find(*arguments)

    monkeypatch.setattr("integration.pipeline.reading.decode", decoding)
    monkeypatch.setattr(SourceMapping, "request_context", finding)
    return counts


def test_each_event_gets_its_own_part_and_the_whole_body(tmp_path: Path) -> None:
    source, reader = source_with(tmp_path), EventReader(LIMIT)

    contexts = [reader.context(source, claimed(position)) for position in (2, 0, 1)]

    assert [own_part(context) for context in contexts] == [{"guid": "g2"}, {"guid": "g0"}, {"guid": "g1"}]
    assert all(isinstance(context, EventContext) and context.envelope == BODY for context in contexts)


def test_a_request_is_read_once_however_many_events_it_has(tmp_path: Path, counted: Counter[str]) -> None:
    source_with(tmp_path)
    events = [claimed(position, request_id) for request_id in ("r1", "r2") for position in range(3)]

    translated = translate_events(load_configuration(tmp_path, {}), events, LIMIT)

    asked = [item.translation.meaning for item in translated]
    guids = [[known.value for known in one.identifiers] for one in asked if isinstance(one, Asked)]
    assert guids == [["g0"], ["g1"], ["g2"]] * 2
    assert counted == {"decoded": 2, "found": 2}


def test_a_body_that_cannot_be_read_says_why_to_each_of_its_events(
    tmp_path: Path, counted: Counter[str]
) -> None:
    source, reader = source_with(tmp_path), EventReader(LIMIT)

    found = [reader.context(source, claimed(position, body=b"{")) for position in range(2)]

    assert [isinstance(context, MalformedBody) for context in found] == [True, True]
    assert counted == {"decoded": 1}


def test_an_event_that_the_mapping_finds_no_more_gets_the_whole_body(tmp_path: Path) -> None:
    source = source_with(tmp_path)

    assert own_part(EventReader(LIMIT).context(source, claimed(3))) == BODY


def test_a_body_in_a_field_of_a_form_is_read(tmp_path: Path) -> None:
    wrapped = {"field": "data", "encoding": "base64", "content_type": "application/json"}
    source = source_with(tmp_path, body=wrapped)
    text = base64.b64encode(json.dumps(BODY).encode()).decode().replace("+", "%2B")

    event = claimed(0, body=f"data={text}".encode(), headers=FORM)

    assert own_part(EventReader(LIMIT).context(source, event)) == {"guid": "g0"}
