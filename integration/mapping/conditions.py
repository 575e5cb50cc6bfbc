"""What `when:` does: conditions on an event, compiled once.

A condition is a mapping of paths to operators, all of which must hold, or a JMESPath expression that must
give something other than null, false, "", [] or {}. `all`, `any` and `not` nest; a path of that name is
written in double quotes.

Text and numbers compare as numbers where the text is one ("5" equals 5); otherwise different types are
different. Text compares case-sensitively. Absent, null and "" are three different things; 0 and false
are values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from integration.core.errors import describe, shorten
from integration.core.values import EventContext
from integration.files.positions import Spot
from integration.mapping.conversions import number_of
from integration.mapping.paths import ExpressionError, Nothing, Path, PathSyntaxError, compile_path

LONGEST_MATCHED_TEXT = 10_000
_FALSE_RESULTS: tuple[object, ...] = (None, "", [], {})

Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """`holds` decides; `why_not` says in words why it does not (never raises). `text` is it as written."""

    text: str
    holds: Callable[[EventContext], bool]
    why_not: Callable[[EventContext], str]


def compile_condition(node: Any, spot: Spot) -> Condition:
    """Compile what stands under `when:`; problems go to `spot`. `holds` raises ExpressionError."""
    if isinstance(node, str):
        return _expression(node, spot)
    parts = []
    for key, value in node.items():
        if key == "not":
            parts.append(_negated(compile_condition(value, spot / key)))
        elif key in ("all", "any"):
            inner = [compile_condition(item, spot / key / i) for i, item in enumerate(value)]
            parts.append(_all_of(inner) if key == "all" else _any_of(inner))
        else:
            parts.append(_on_path(key, value, spot / key))
    return parts[0] if len(parts) == 1 else _all_of(parts)


def path_at(text: str, spot: Spot) -> Path:
    """The compiled path; a problem at `spot` if it is none."""
    try:
        return compile_path(text)
    except PathSyntaxError as error:
        spot.report(str(error), error.cure)
        return Path(text, lambda _: Nothing.ABSENT)


def _expression(text: str, spot: Spot) -> Condition:
    get = path_at(text, spot).get

    def holds(context: EventContext) -> bool:
        found = get(context)
        return found is not False and found is not Nothing.ABSENT and found not in _FALSE_RESULTS

    return Condition(text, holds, lambda context: f"{text} gives {_seen(get, context)}")


def _all_of(parts: list[Condition]) -> Condition:
    def holds(context: EventContext) -> bool:
        return all(part.holds(context) for part in parts)

    def why_not(context: EventContext) -> str:
        return "; ".join(part.why_not(context) for part in parts if not _holds_safely(part, context))

    return Condition(" and ".join(part.text for part in parts), holds, why_not)


def _any_of(parts: list[Condition]) -> Condition:
    def holds(context: EventContext) -> bool:
        return any(part.holds(context) for part in parts)

    def why_not(context: EventContext) -> str:
        return "none of: " + "; ".join(part.why_not(context) for part in parts)

    return Condition(f"({' or '.join(part.text for part in parts)})", holds, why_not)


def _negated(part: Condition) -> Condition:
    text = f"not ({part.text})"
    return Condition(text, lambda context: not part.holds(context), lambda _: f"{part.text} holds")


def _holds_safely(part: Condition, context: EventContext) -> bool:
    try:
        return part.holds(context)
    except ExpressionError:
        return False


def _on_path(text: str, operators: Any, spot: Spot) -> Condition:
    get = path_at(text, spot).get
    if not isinstance(operators, dict):
        operators = {"equals": operators}
    tests = [_test(name, wanted, spot / name) for name, wanted in operators.items()]
    words = " and ".join(_words(name, wanted) for name, wanted in operators.items())
    test = tests[0] if len(tests) == 1 else lambda found: all(one(found) for one in tests)

    def why_not(context: EventContext) -> str:
        return f"{text} is {_seen(get, context)}, wanted {words}"

    return Condition(f"{text} {words}", lambda context: test(get(context)), why_not)


def _seen(get: Callable[[EventContext], Any], context: EventContext) -> str:
    try:
        found = get(context)
    except ExpressionError as error:
        return str(error)
    if isinstance(found, str) and len(found) > LONGEST_MATCHED_TEXT:
        return f"text of more than {LONGEST_MATCHED_TEXT:,} characters"
    return found.value if isinstance(found, Nothing) else describe(found)


def _words(name: str, wanted: Any) -> str:
    if name == "exists":
        return "there" if wanted else "missing"
    if name == "equals":
        return describe(wanted)
    listed = "[" + ", ".join(describe(item) for item in wanted) + "]" if isinstance(wanted, list) else ""
    return f"{name.replace('_', ' ')} {listed or describe(wanted)}"


def _test(name: str, wanted: Any, spot: Spot) -> Test:
    if name == "matches":
        return _matches(wanted, spot)
    return OPERATORS[name](wanted)


def _equals(wanted: Any) -> Test:
    return lambda found: _same(found, wanted)


def _in(wanted: list[Any]) -> Test:
    return lambda found: any(_same(found, item) for item in wanted)


def _not(test: Callable[[Any], Test]) -> Callable[[Any], Test]:
    def build(wanted: Any) -> Test:
        inner = test(wanted)
        return lambda found: not inner(found)

    return build


def _exists(wanted: bool) -> Test:  # noqa: FBT001 - the value of the operator
    return lambda found: (found is not None and found is not Nothing.ABSENT and found != "") is wanted


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def build(wanted: Any) -> Test:
        limit = number_of(wanted)

        def test(found: Any) -> bool:
            number = number_of(found)
            return number is not None and compare(number, limit)

        return test

    return build


def _contains(wanted: Any) -> Test:
    def test(found: Any) -> bool:
        if isinstance(found, list):
            return any(_same(item, wanted) for item in found)
        return isinstance(found, str) and isinstance(wanted, str) and wanted in found

    return test


def _starts_with(wanted: str) -> Test:
    return lambda found: isinstance(found, str) and found.startswith(wanted)


def _matches(pattern: str, spot: Spot) -> Test:
    try:
        search = re.compile(pattern).search
    except (re.error, RecursionError, OverflowError) as error:
        spot.report(f"{shorten(pattern)} is not a regular expression: {error}", "see Python's re syntax")
        return lambda _: False
    return lambda found: (
        isinstance(found, str) and len(found) <= LONGEST_MATCHED_TEXT and search(found) is not None
    )


def _same(found: Any, wanted: Any) -> bool:
    """Equal as JSON: true is not 1. A number and a text are equal if the text is that number."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, int | float) and isinstance(wanted, str):
        number = number_of(wanted)
        return number is not None and number == number_of(found)
    if isinstance(found, str) and isinstance(wanted, int | float):
        number = number_of(found)
        return number is not None and number == number_of(wanted)
    return bool(found == wanted)


OPERATORS: dict[str, Callable[[Any], Test]] = {
    "equals": _equals,
    "not": _not(_equals),
    "in": _in,
    "not_in": _not(_in),
    "exists": _exists,
    "above": _compared(lambda found, limit: found > limit),
    "at_least": _compared(lambda found, limit: found >= limit),
    "below": _compared(lambda found, limit: found < limit),
    "at_most": _compared(lambda found, limit: found <= limit),
    "contains": _contains,
    "starts_with": _starts_with,
}
