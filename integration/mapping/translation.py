"""Translation: what a mapping makes of one event. Pure, and never raises whatever the event holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from integration.core.bounds import unusable_as_key
from integration.core.errors import describe, shorten
from integration.core.values import (
    Asked,
    Cause,
    EventContext,
    FieldChange,
    Identifier,
    Ignored,
    Meaning,
    Micros,
    SetAside,
    Step,
    Translation,
)
from integration.mapping.conversions import BadValueError
from integration.mapping.fetch_spec import Fetch
from integration.mapping.parts import EventKeys, FieldSetter, LeadKey, Part, Rule
from integration.mapping.paths import ExpressionError, Nothing

LONGEST_TYPE = 200
RulesFor = Callable[[str], Sequence[Rule]]
Steps = list[Step] | None

_EXPRESSION_CURE = "correct the expression in the mapping (`leadwire try` shows each step), then replay"
_LEAD_CURE = "let the sender send one of them, or add another way under `lead:` in the mapping; then replay"
_IDENTIFIER_CURE = "see whether the mapping reads the right value under `lead:`, and correct it; then replay"
_EVENT_CURE = "correct `event:` in the mapping, then replay"


class _SetAsideError(Exception):
    """Ends a translation; carries the cause."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.detail)
        self.cause = cause


def translate(
    event: EventKeys,
    lead: Sequence[LeadKey],
    rules: Sequence[Rule],
    rules_for: RulesFor,
    context: EventContext,
    *,
    trace: bool,
) -> Translation:
    """What the parts of a mapping make of one event; with its steps in words if `trace`."""
    steps: Steps = [] if trace else None
    type_, at = None, None
    meaning: Meaning
    try:
        type_ = _event_type(event, context, steps)
        holding = _holding_rules(rules_for(type_), type_, context)
        if steps is not None:
            steps += _rule_steps(rules, type_, holding, context)
        if isinstance(holding, Ignored):
            meaning, at = holding, occurred_at(event, context)
        else:
            at = _event_time(event, context, steps)
            meaning = Asked(_identifiers(lead, context, steps), _changes(holding, context, steps))
    except _SetAsideError as error:
        meaning = SetAside(error.cause)
    except Exception as error:  # noqa: BLE001 - one bad event never stops the rest
        meaning = SetAside(_failed(event, error))
    return Translation(type_, at, meaning, () if steps is None else tuple(steps))


def prepared(
    fetch: Fetch, event: EventKeys, rules_for: RulesFor, context: EventContext
) -> EventContext | Translation:
    """The event with what was fetched for it; or a translation that says what has to be fetched first, or why
    it cannot be. An event that needs nothing fetched, and one that no rule is for, is given back as it is.
    """
    known = event_type(event, context)
    if (event.each and context.payload is context.envelope) or (known is not None and not rules_for(known)):
        return context
    try:
        if not fetch.applies_to(context):
            return context
        if context.fetched is not None:
            return fetch.with_answer(context)
        request = fetch.request(context)
    except BadValueError as error:
        return Translation(known, None, SetAside(Cause(error.code, str(error), error.cure)))
    except ExpressionError as error:
        detail = f"{fetch.place}: fetch: {error}"
        return Translation(known, None, SetAside(Cause("expression_failed", detail, _EXPRESSION_CURE)))
    step = Step(fetch.place, "fetch", f"GET {fetch.base or fetch.base_setting}{request.address} comes first")
    return Translation(known, None, request, (step,))


def event_type(event: EventKeys, context: EventContext) -> str | None:
    """The event's type; None if there is none that can be used. Never raises."""
    found = _try(event.type, context)
    return found if isinstance(found, str) and _usable_type(found) else None


def occurred_at(event: EventKeys, context: EventContext) -> Micros | None:
    """The event's time, the time of arrival where the mapping gives none; None if it cannot be used."""
    if event.time is None:
        return context.received_at
    found = _try(event.time, context)
    return found if isinstance(found, int) else None


def event_id(event: EventKeys, context: EventContext) -> str | None:
    """The event's id; None if there is none. Never raises."""
    found = None if event.id is None else _try(event.id, context)
    return found if isinstance(found, str) else None


def _try(part: Part, context: EventContext) -> Any:
    try:
        return part.value.read(context)
    except (BadValueError, ExpressionError):
        return None


def _usable_type(text: str) -> bool:
    return len(text) <= LONGEST_TYPE and text.isprintable()


def _read(part: Part, context: EventContext) -> Any:
    """The value of a part; raises _SetAsideError with a cause that names it."""
    try:
        return part.value.read(context)
    except BadValueError as error:
        source = "" if error.code == "missing_value" else f" (from {part.value.origin(context)})"
        cause = Cause(error.code, f"{part.place}: {part.name}: {error}{source}", error.cure)
        raise _SetAsideError(cause) from error
    except ExpressionError as error:
        detail = f"{part.place}: {part.name}: {error}"
        raise _SetAsideError(Cause("expression_failed", detail, _EXPRESSION_CURE)) from error


def _failed(event: EventKeys, error: Exception) -> Cause:
    detail = f"{event.place}: the event cannot be translated: {type(error).__name__}: {shorten(str(error))}"
    return Cause("expression_failed", detail, _EXPRESSION_CURE)


# event


def _event_type(event: EventKeys, context: EventContext, steps: Steps) -> str:
    part = event.type
    if event.each is not None and context.payload is context.envelope:
        detail = f"{event.place}: event.each: {event.each.text} is not a list in this request"
        raise _SetAsideError(Cause("missing_event_type", detail, _EVENT_CURE))
    found = _read(part, context)
    if isinstance(found, str) and _usable_type(found):
        _note(steps, part, f"{describe(found)} (from {part.value.origin(context)})")
        return found
    unusable = f"{part.value.origin(context)} is not a printable text of at most {LONGEST_TYPE} characters"
    why = part.value.lacks(context) if isinstance(found, Nothing) else unusable
    detail = f"{part.place}: {part.name}: {why}"
    raise _SetAsideError(Cause("missing_event_type", detail, _EVENT_CURE))


def _event_time(event: EventKeys, context: EventContext, steps: Steps) -> Micros:
    part = event.time
    if part is None:
        return context.received_at
    found = _read(part, context)
    if isinstance(found, Nothing):
        detail = f"{part.place}: {part.name}: {part.value.lacks(context)}"
        raise _SetAsideError(Cause("missing_event_time", detail, _EVENT_CURE))
    if steps is not None:
        _note(steps, part, f"{_iso(found)} (from {part.value.origin(context)})")
    micros: Micros = found
    return micros


# lead


def _identifiers(lead: Sequence[LeadKey], context: EventContext, steps: Steps) -> tuple[Identifier, ...]:
    found = []
    for key in lead:
        value = _read(key.part, context)
        if value.__class__ is not Nothing:
            found.append(_identifier(key, value))
        if steps is not None:
            _note(steps, key.part, _outcome(key.part, value, context))
    if found:
        return tuple(found)
    tried = ", ".join(f"{key.part.name} ({key.part.value.label})" for key in lead)
    detail = f"{lead[0].part.place}: no identifier of the lead in the event; tried {tried}"
    raise _SetAsideError(Cause("missing_lead", detail, _LEAD_CURE))


def _identifier(key: LeadKey, value: str) -> Identifier:
    if problem := unusable_as_key(value):
        shown = "the address" if key.kind == "email" else shorten(value)  # this ends in logs
        detail = f"{key.part.place}: {key.part.name}: {shown} {problem}"
        raise _SetAsideError(Cause("unusable_identifier", detail, _IDENTIFIER_CURE))
    return Identifier(key.kind, value)


# rules


def _holding_rules(rules: Sequence[Rule], event_type: str, context: EventContext) -> list[Rule] | Ignored:
    """The rules whose condition holds; if there is none, why."""
    if not rules:
        return Ignored(f"no rule for event type {shorten(event_type)[1:-1]}")
    holding = [rule for rule in rules if _holds(rule, context)]
    if holding:
        return holding
    return Ignored("no rule's condition held: " + "; ".join(_why_not(rule, context) for rule in rules))


def _holds(rule: Rule, context: EventContext) -> bool:
    try:
        return rule.when is None or rule.when.holds(context)
    except ExpressionError as error:
        detail = f"{rule.place}: rule {rule.name!r}: when: {error}"
        raise _SetAsideError(Cause("expression_failed", detail, _EXPRESSION_CURE)) from error


def _why_not(rule: Rule, context: EventContext) -> str:
    return f"{rule.name}: {rule.when.why_not(context)}" if rule.when else rule.name


def _rule_steps(
    rules: Sequence[Rule], event_type: str, holding: list[Rule] | Ignored, context: EventContext
) -> list[Step]:
    applied = [] if isinstance(holding, Ignored) else holding
    return [Step(rule.place, rule.path, _rule_words(rule, event_type, applied, context)) for rule in rules]


def _rule_words(rule: Rule, event_type: str, holding: list[Rule], context: EventContext) -> str:
    if not rule.applies_to(event_type):
        return f"rule {rule.name!r} does not apply: it is for {', '.join(rule.events)}"
    if rule in holding:
        return f"rule {rule.name!r} applies" + (f": {rule.when.text}" if rule.when else "")
    why = rule.when.why_not(context) if rule.when else ""
    return f"rule {rule.name!r} does not apply: {why}"


# fields


def _changes(rules: Sequence[Rule], context: EventContext, steps: Steps) -> tuple[FieldChange, ...]:
    """The fields that the rules set; a later rule wins. All bad values are told at once."""
    changes: dict[str, FieldChange] = {}
    causes: list[Cause] = []
    for rule in rules:
        for setter in rule.sets:
            try:
                value = _read(setter.part, context)
            except _SetAsideError as error:
                causes.append(error.cause)
                _note(steps, setter.part, f"cannot be used: {error.cause.detail}")
                continue
            if steps is not None:
                _note(steps, setter.part, _outcome(setter.part, value, context))
            if value.__class__ is not Nothing or value is Nothing.CLEARED:
                changes[setter.field] = _change(setter, value, rule)
    if causes:
        raise _SetAsideError(_joined(causes))
    return tuple(changes.values())


def _change(setter: FieldSetter, value: Any, rule: Rule) -> FieldChange:
    wire = None if value is Nothing.CLEARED else value
    return FieldChange(setter.field, wire, setter.write, setter.part.place, rule.name)


def _joined(causes: list[Cause]) -> Cause:
    details, cures = (
        dict.fromkeys(texts) for texts in zip(*((c.detail, c.cure) for c in causes), strict=True)
    )
    return Cause(causes[0].code, "; ".join(details), "; ".join(cures))


# trace


def _note(steps: Steps, part: Part, text: str) -> None:
    if steps is not None:
        steps.append(Step(part.place, part.name, text))


def _outcome(part: Part, value: Any, context: EventContext) -> str:
    if isinstance(value, Nothing):
        done = "cleared" if value is Nothing.CLEARED else "skipped"
        unlisted = ", which is not in the table" if value is Nothing.UNLISTED else ""
        return f"{done}: {part.value.lacks(context)}{unlisted}"
    raw, result = describe(part.value.raw(context)), describe(value)
    return f"{result} (from {part.value.origin(context)}{'' if raw == result else f': {raw}'})"


def _iso(at: Micros) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).isoformat()
