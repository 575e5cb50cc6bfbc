"""The text of a mapping file from guesses, each with a comment that says why and what to check. Pure."""

from __future__ import annotations

import glob
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from integration.authoring.guess import Guess, Guesses, Spec

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.%-]*")
_WORDS_OF_YAML = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_WIDTH = 115
_HEAD = """\
# yaml-language-server: $schema=../../integration/mapping/mapping.schema.json
# A first draft, made from one payload. Lines marked "guess" are guesses: check each, then delete the mark.
# docs/mapping-reference.md has every key; `leadwire check` and `leadwire test` say what does not fit.
"""


def draft(name: str, title: str, guesses: Guesses, secrets: Sequence[str], tests: str = "") -> str:
    """The mapping file of the source `name`. `tests` is the text of its tests (`draft_test`), if any."""
    blocks = [
        [f"version: 1\nsource: {quoted(name)}\ntitle: {quoted(title)}"],
        _verify(name, secrets),
        _event(guesses),
        _lead(name, guesses),
        _rules(guesses),
    ]
    text = _HEAD + "\n\n".join("\n".join(block) for block in blocks) + "\n"
    return f"{text}\ntests:\n{tests}" if tests else text


def draft_test(name: str, given: str, outcome: Mapping[str, Any]) -> str:
    """One test: `outcome` is `{"expect": {...}}`, `{"expect_ignored": True}` or `{"expect_dead": code}`."""
    lines = [f"  - name: {quoted(name)}", f"    given: {quoted(given)}"]
    for key, value in outcome.items():
        lines.append(f"    {key}: {_inline(value)}")
    return "\n".join(lines) + "\n"


def _verify(name: str, secrets: Sequence[str]) -> Iterator[str]:
    yield "verify:"
    yield from _comment("  ", _NO_SCHEME)
    yield "  scheme: hmac"
    yield f"  secrets: [{', '.join(secrets)}]   # settings; two, to change it without a gap"
    words = [part.capitalize() for part in re.split("[-_]+", name) if part]
    yield f"  header: X-{'-'.join(words)}-Signature"


def _event(guesses: Guesses) -> Iterator[str]:
    yield "event:"
    if guesses.each:
        yield from _line("  ", "each", guesses.each)
    yield from _line("  ", "id", guesses.id) if guesses.id else _comment("  ", _NO_ID)
    yield from _line("  ", "type", guesses.type or _NO_TYPE)
    yield from _line("  ", "time", guesses.time) if guesses.time else _comment("  ", _NO_TIME)


_NO_SCHEME = (
    "guess: a payload does not tell how it is signed. Look it up in the sender's documentation and write "
    "what it says: scheme, header, encoding, what is signed. For a sender that signs nothing, write "
    "`scheme: token` or `scheme: basic` instead of scheme and header."
)
_NO_ID = (
    "guess: no id, because none stands beside an event type. Equal content then counts as one event. Check "
    "whether the sender has an id of the event, perhaps in a header: `id: {header: X-Event-Id}`."
)
_NO_TIME = (
    "guess: no time, because nothing looks like one. The time of arrival then counts, so a late event may "
    "undo a newer one. Check whether the sender has a time: `time: {from: ..., as: iso8601}`."
)
_NO_TYPE = Guess(
    {"value": "event"},
    "nothing in the payload tells what happened, so all events have one type",
    "Check for a header that does: `type: {header: X-Topic}`.",
)
_NO_LEAD = Guess(
    "path_of_the_email_address",
    "nothing in the payload looks like a lead, and this path leads nowhere",
    "Write where its email address or id stands; until then every event is a dead letter.",
)
_NO_FIELD = Guess(
    "path_of_the_first_name",
    "no value has the name of a lead's field, and this path leads nowhere",
    "Write the fields that you want and where their values stand.",
)


def _lead(name: str, guesses: Guesses) -> Iterator[str]:
    yield "lead:"
    found = dict(guesses.lead)
    if not found and not guesses.keys:
        found = {"email": _NO_LEAD}
    for kind, guess in found.items():
        yield from _line("  ", kind, guess)
    if guesses.keys:
        yield "  keys:"
        for noun, guess in guesses.keys.items():
            yield from _line("    ", f"{key_prefix(name)}_{noun}", guess)


def key_prefix(source: str) -> str:
    """How the source's own ids of a lead begin under `lead.keys`: `my_shop` for `my-shop`."""
    return re.sub(r"^[^a-z]+", "", source.replace("-", "_"))[:40] or "source"


def _rules(guesses: Guesses) -> Iterator[str]:
    event = "*" if guesses.event_type is None else glob.escape(guesses.event_type)
    yield "rules:"
    yield from _comment(
        "  ", "guess: one rule for the recorded event. Write one for each thing that happens."
    )
    yield f"  - name: {quoted('what the recorded event tells about the lead')}"
    yield f"    events: [{quoted(event)}]"
    yield "    set:"
    for field, guess in (guesses.fields or {"firstName": _NO_FIELD}).items():
        yield from _line("      ", field, guess)


def _line(indent: str, key: str, guess: Guess) -> Iterator[str]:
    yield from _comment(indent, f"guess: {guess.why}. {guess.check}".rstrip())
    yield f"{indent}{key}: {_spec(guess.spec)}"


def _comment(indent: str, text: str) -> list[str]:
    begin = f"{indent}# "
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=begin,
        subsequent_indent=begin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _spec(spec: Spec) -> str:
    return quoted(spec) if isinstance(spec, str) else _inline(spec)


def _inline(value: Any) -> str:
    """Data in YAML's flow form."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def quoted(text: str) -> str:
    """Text as YAML: as it is where that is safe everywhere, else in double quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML:
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
