"""The functions that paths may call do what their docstrings show."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import pytest

from integration.core.values import EventContext
from integration.mapping.functions import FUNCTION_TABLE, own_functions
from integration.mapping.paths import compile_path


def call(expression: str, payload: Any) -> Any:
    return compile_path(expression).get(EventContext(payload, payload, {}, "", 0))


@pytest.mark.parametrize(("name", "function"), own_functions().items())
def test_the_examples_of_a_function_are_true(name: str, function: Callable[..., Any]) -> None:
    assert name in FUNCTION_TABLE
    test = doctest.DocTestParser().get_doctest(function.__doc__ or "", {"call": call}, name, None, None)
    assert test.examples, f"{name} needs an example in its docstring"

    result = doctest.DocTestRunner(verbose=False).run(test)

    assert result.failed == 0
