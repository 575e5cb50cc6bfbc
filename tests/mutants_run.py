"""mutmut, with the tests collected once: `python -P tests/mutants_run.py run` in a copy of the project.

mutmut starts pytest again for each change. Here the fork that tests a change has the collected tests already,
and runs those that reach it, the fastest first: a change that is noticed costs some milliseconds.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from _pytest.config import _prepareconfig
from mutmut.__main__ import cli
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.utils.file_utils import change_cwd
from mutmut.workers import isolation

_SILENT = ("--rootdir=.", "--tb=no", "--assert=plain")  # nobody reads why a test failed
_EXAMPLES = 40  # of a law, where a test asks for more: a change that so many do not show survives


class CollectedTests(PytestRunner):
    """The tests of the copy, collected before mutmut's server forks for the first change."""

    _session: pytest.Session | None = None

    def warm_up(self) -> None:
        """Collect."""
        set_mutant_under_test("")  # or the code that test modules run on import fails on purpose
        with change_cwd("mutants"):
            arguments = [*self._pytest_args_regular_run([]), *self._pytest_add_cli_args, *_SILENT]
            config = _prepareconfig(arguments)
            config._do_configure()
            self._session = pytest.Session.from_config(config)
            config.hook.pytest_sessionstart(session=self._session)
            config.hook.pytest_collection(session=self._session)
            if self._session.testsfailed:
                raise RuntimeError("the tests cannot be collected")
            for item in self._session.items:
                _with_fewer_examples(item)
        gc.freeze()  # the forks share what is there
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        """No test may fail in a fork where nothing is changed: it would fail for each change."""
        assert self._session is not None
        child = os.fork()
        if not child:
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as mutmut does it
            code = 1
            try:
                code = self.run_tests(mutant_name=None, tests=[item.nodeid for item in self._session.items])
            finally:
                os._exit(code)
        if os.waitpid(child, 0)[1]:
            raise RuntimeError("a test fails where nothing is changed")

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """1 if one of these tests fails, else 0."""
        session = self._session
        if session is None:  # not in the server: mutmut's own check of its set-up
            return super().run_tests(mutant_name=mutant_name, tests=tests)
        chosen = set(tests)
        items = [item for item in session.items if item.nodeid in chosen]
        if len(items) < len(chosen):
            return 0  # nothing may pass as noticed that was not tested whole
        kept = sys.stdout, sys.stderr  # mutmut leaves them open, and a warning of that fails a test
        items.sort(key=lambda item: state().duration_by_test[item.nodeid])
        with change_cwd("mutants"):
            for item, following in pairwise([*items, None]):
                assert item is not None
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    return 1
        del kept
        return 0


def _with_fewer_examples(item: pytest.Item) -> None:
    test: Any = getattr(item, "obj", None)
    test = getattr(test, "__func__", test)
    chosen = getattr(test, "_hypothesis_internal_use_settings", None)
    if chosen is not None and chosen.max_examples > _EXAMPLES:
        test._hypothesis_internal_use_settings = type(chosen)(chosen, max_examples=_EXAMPLES)


if __name__ == "__main__":
    isolation.PytestRunner = CollectedTests  # type: ignore[attr-defined] # it has no setting for this
    cli()
