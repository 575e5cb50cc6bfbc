"""The README of a new source: every section, with what a payload tells, and what is to be found out."""

from __future__ import annotations

from collections.abc import Sequence

from integration.authoring.guess import Guesses

_UNKNOWN = "not known yet"


def readme(name: str, title: str, guesses: Guesses, secrets: Sequence[str], example: str) -> str:
    """The page for those who set the source up. `example` is the payload's file in the folder."""
    event = f"`{guesses.event_type}`" if guesses.event_type else "the recorded event"
    return f"""\
# {title}

A first draft, made from one payload. What is {_UNKNOWN} stands in the sender's documentation: complete it,
with a link and the date you looked.

## Set up

1. In {title}, register `https://YOUR-HOST/hooks/{name}` as the address for webhooks.
2. Set the secret that it shows as `{secrets[0]}`.

Where to click: {_UNKNOWN}.

## Events to choose

{event[:1].upper() + event[1:]}. Others do no harm: they are kept and marked as ignored.

## Test it

`leadwire send {name} mappings/{name}/{example}` signs the example with your secret and posts it
to your own machine.

## What {title} does

| | |
|---|---|
| signature | {_UNKNOWN}: the mapping has a generic HMAC |
| answer | {_UNKNOWN} |
| retries | {_UNKNOWN} |
| order | {_UNKNOWN}: fields follow {"the event's own time" if guesses.time else "the time of arrival"} |
| event id | {_event_id(guesses)} |

## Changing the secret

Set the old one as `{secrets[1]}` and the new one as `{secrets[0]}`; then change it in
{title}; then remove the old one.

## Where the examples come from

`{example}` is the payload that this folder was made from. Replace names and addresses of people in it.
"""


def _event_id(guesses: Guesses) -> str:
    if guesses.id is None:
        return "none: equal content is one event"
    return f"`{guesses.id.spec}`, a guess; the same on every retry: {_UNKNOWN}"
