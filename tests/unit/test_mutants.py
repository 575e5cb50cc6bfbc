"""`make mutants`: the copy that is changed means what the code means, and the report says what survived."""

from __future__ import annotations

from tests.mutants import ROOT, Result, Survivor, explanations, report, told, told_before, unfolded, unused

CODE = '''\
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Sum:
    one: int
    other: int

    @property
    def value(self):
        """Both."""
        return self.one + self.other

    @classmethod
    def of(cls, text):
        return cls(*map(int, text.split()))


@cache
def squared(number):
    return number * number


@contextmanager
def doubled(
    number,
):
    yield 2 * number
'''


def test_each_decorated_function_is_a_plain_one_that_is_decorated_after_it() -> None:
    names: dict[str, object] = {"__name__": __name__}
    exec(compile(unfolded(CODE), "made", "exec"), names)
    look = "[Sum.of('2 3').value, squared(4), [number for number in [doubled(5).__enter__()]]]"
    assert eval(look, names) == [5, 16, [10]]
    assert "@property" not in unfolded(CODE)
    assert "@classmethod" in unfolded(CODE), "mutmut takes these itself"


def test_lines_keep_their_numbers() -> None:
    before, after = CODE.splitlines(), unfolded(CODE).splitlines()
    assert [line for line in before if "return" in line] == [line for line in after if "return" in line]
    assert [before.index(line) for line in before if "return" in line] == [
        after.index(line) for line in after if "return" in line
    ]


def test_the_report_counts_what_no_test_reaches_and_what_is_excluded_as_survivors() -> None:
    found = (
        Survivor("a.py", 7, "older", "a < b", "a <= b", tested=True),
        Survivor("a.py", 9, "other", "a | b", "a & b", tested=True),
        Survivor("a.py", 12, "never", "return 1", "return 2", tested=False),
    )
    why = {found[0].key: "both are the same lead then", ("a.py", "gone", "x", "y"): "it was so once"}
    text = report({"a.py": told(Result("a.py", 17, found), why, "2026-11-25")})
    assert "\n17 of 20 killed, 85.0 of 100.\n" in text
    assert "| `a.py` | 17 | 3 | 85.0 | 2026-11-25 |" in text
    assert "| 7 | `older` | `a < b`<br>`a <= b` | both are the same lead then |" in text
    assert "| 9 | `other` | `a \\| b`<br>`a & b` | not explained yet |" in text
    assert "| 12 | `never` | `return 1`<br>`return 2` | no fast test reaches it |" in text
    assert unused([Result("a.py", 17, found)], why) == ["a.py: gone: x"]


def test_a_run_for_some_files_leaves_what_is_said_of_the_others() -> None:
    survivor = Survivor("a.py", 7, "older", "a < b", "a <= b", tested=True)
    both = {
        "a.py": told(Result("a.py", 17, (survivor,)), {}, "2026-11-25"),
        "b.py": told(Result("b.py", 5, ()), {}, "2026-11-26"),
    }
    assert told_before(report(both)) == both


def test_each_line_that_is_explained_stands_in_the_code() -> None:
    for file, function, was, _ in explanations():
        lines = {line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()}
        assert was in lines, f"{file}: {function}: {was}"
