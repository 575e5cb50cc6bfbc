"""Paths: where in an event a value stands. A path is a JMESPath expression, compiled once to a closure.

Paths made of names and positions only (`data.lines[0].price`) become plain Python look-ups, which tell
an absent key from a null one. All others are evaluated by jmespath, where both are null.

A path that begins with `$.` looks at the whole body of the request instead of the event's own part; the
two differ only in mappings with `event.each`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from jmespath.exceptions import JMESPathError
from jmespath.parser import Parser
from jmespath.visitor import TreeInterpreter

from integration.core.errors import LeadwireError, shorten
from integration.core.values import EventContext
from integration.files.positions import did_you_mean
from integration.mapping.functions import FUNCTION_TABLE, OPTIONS

Getter = Callable[[EventContext], Any]
_WHOLE_BODY = "$"
_SYNTAX_CURE = 'names with other characters than letters, digits and _ need double quotes: data."first-name"'


class Nothing(Enum):
    """The ways not to be a value. 0 and false are values."""

    ABSENT = "absent"
    NULL = "null"
    EMPTY = "empty text"
    UNLISTED = "not in the table"
    UNWANTED = "not wanted"
    CLEARED = "cleared"


class PathSyntaxError(LeadwireError):
    """A text is not a path. The message says what is wrong, `cure` what to write."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.cure = cure


class ExpressionError(LeadwireError):
    """A path could not be evaluated on an event, such as a function called on the wrong type."""


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. `get` gives what stands there, `Nothing.ABSENT` if nothing does; null is None.

    `get` raises ExpressionError.
    """

    text: str
    get: Getter


def compile_path(text: str) -> Path:
    """Compile a path; raises PathSyntaxError."""
    on_body, expression = _split_root(text)
    tree = _parse(text, expression)
    steps = _plain_steps(tree)
    if steps is None:
        return Path(text, _expression_getter(text, tree, on_body=on_body))
    if all(isinstance(step, str) for step in steps):
        return Path(text, _names_getter(steps, on_body=on_body))
    return Path(text, _steps_getter(steps, on_body=on_body))


def _split_root(text: str) -> tuple[bool, str]:
    if text == _WHOLE_BODY:
        return True, "@"
    if text.startswith(_WHOLE_BODY + "."):
        return True, text.removeprefix(_WHOLE_BODY + ".")
    return False, text


def _parse(text: str, expression: str) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = Parser().parse(expression).parsed
    except JMESPathError as error:
        raise PathSyntaxError(_syntax_message(text, expression, error), _SYNTAX_CURE) from error
    except RecursionError as error:
        raise PathSyntaxError("is nested too deeply", "write a simpler path") from error
    for node in _nodes(tree):
        if node["type"] == "function_expression":
            _check_call(node)
    return tree


def _syntax_message(text: str, expression: str, error: JMESPathError) -> str:
    position = getattr(error, "lex_position", None)
    if position is None:
        return f"{shorten(text)} is not a path"
    if position >= len(expression):
        return f"{shorten(text)} is not a path: it ends too early"
    column = position + 1 + len(text) - len(expression)
    return f"{shorten(text)} is not a path: did not expect {expression[position]!r} at character {column}"


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("children", ()):
        if isinstance(child, dict):
            yield from _nodes(child)


def _check_call(node: dict[str, Any]) -> None:
    name, given = node["value"], len(node["children"])
    if name not in FUNCTION_TABLE:
        known = f"known functions: {', '.join(sorted(FUNCTION_TABLE))}"
        raise PathSyntaxError(f"unknown function {name!r}{did_you_mean(name, FUNCTION_TABLE)}", known)
    parameters = FUNCTION_TABLE[name]["signature"]
    variadic = bool(parameters) and parameters[-1].get("variadic", False)
    if given < len(parameters) or (given > len(parameters) and not variadic):
        count = f"{len(parameters)} argument{'' if len(parameters) == 1 else 's'}"
        wanted = f"at least {count}" if variadic else count
        raise PathSyntaxError(f"{name}() takes {wanted}, found {given}", f"give {name}() {wanted}")


def _plain_steps(node: dict[str, Any]) -> list[str | int] | None:
    """The names and positions that a tree consists of; None if there is more to it."""
    match node["type"]:
        case "field" | "index":
            return [node["value"]]
        case "identity" | "current":
            return []
        case "subexpression" | "index_expression":
            steps: list[str | int] = []
            for child in node["children"]:
                inner = _plain_steps(child)
                if inner is None:
                    return None
                steps += inner
            return steps
    return None


def _names_getter(names: list[str | int], *, on_body: bool) -> Getter:
    def get(context: EventContext) -> Any:
        node = context.envelope if on_body else context.payload
        try:
            for name in names:
                node = node[name]
        except (KeyError, TypeError):
            return Nothing.ABSENT
        return node

    return get


def _steps_getter(steps: list[str | int], *, on_body: bool) -> Getter:
    def get(context: EventContext) -> Any:
        node = context.envelope if on_body else context.payload
        try:
            for step in steps:
                if step.__class__ is int and not isinstance(node, list):
                    return Nothing.ABSENT  # text has positions too, but no path may look into it
                node = node[step]
        except (KeyError, TypeError, IndexError):
            return Nothing.ABSENT
        return node

    return get


def _expression_getter(text: str, tree: dict[str, Any], *, on_body: bool) -> Getter:
    visit = TreeInterpreter(OPTIONS).visit

    def evaluated(node: Any) -> Any:
        try:
            return visit(tree, node)
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            return ExpressionError(f"{text} cannot be evaluated: {shorten(str(error), 200)}")

    def get(context: EventContext) -> Any:
        if not on_body:
            found = evaluated(context.payload)
        elif text in context.found:
            found = context.found[text]
        else:  # once for all events of a request: it may cost as much as the body is long
            found = context.found[text] = evaluated(context.envelope)
        if isinstance(found, ExpressionError):
            raise ExpressionError(str(found))
        return found

    return get
