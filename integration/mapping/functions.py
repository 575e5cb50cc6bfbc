"""Functions that paths may call beside JMESPath's own (https://jmespath.org/specification.html#built-in-functions).

A function is a method `_func_<name>` with a docstring that says what it gives, and whose examples run as
tests and feed the reference page. In the examples, `call` evaluates one expression on one payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jmespath.functions import Functions, signature
from jmespath.visitor import Options


class MappingFunctions(Functions):  # type: ignore[misc]  # jmespath ships no type information
    """JMESPath's functions and ours."""

    @signature({"types": ["string", "null"]}, {"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_split(self, text: str | None, separator: str) -> list[str] | None:
        """The parts of a text between separators; null stays null.

        >>> call("split(name, ' ')[0]", {"name": "Jane van Doe"})
        'Jane'
        >>> call("join(' ', split(name, ' ')[1:])", {"name": "Jane van Doe"})
        'van Doe'
        >>> call("split(name, ' ')", {})
        """
        if text is None:
            return None
        return text.split(separator) if separator else [text]

    @signature({"types": ["string", "null"]})  # type: ignore[untyped-decorator]
    def _func_lower(self, text: str | None) -> str | None:
        """The text in small letters, to compare without regard to case; null stays null.

        >>> call("lower(status) == 'paid'", {"status": "PAID"})
        True
        >>> call("lower(status)", {})
        """
        return None if text is None else text.lower()


_FUNCTIONS = MappingFunctions()
OPTIONS = Options(custom_functions=_FUNCTIONS)
FUNCTION_TABLE: dict[str, dict[str, Any]] = _FUNCTIONS.FUNCTION_TABLE


def own_functions() -> dict[str, Callable[..., Any]]:
    """The functions that this file adds, by the name that a path calls them by."""
    prefix = "_func_"
    return {
        name.removeprefix(prefix): member
        for name, member in vars(MappingFunctions).items()
        if name.startswith(prefix)
    }
