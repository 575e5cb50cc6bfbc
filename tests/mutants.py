"""`make mutants`: one small change after the other in the code, and whether a fast test notices each.

The tool is mutmut. It works in a copy (`var/mutants/`), in which every decorated function is written as a
plain one that is decorated on the line after it, since mutmut passes decorated ones by; lines keep their
numbers. The report is docs/mutants.md; a run for some files (`make mutants ONLY=path`) replaces what it says
of these alone. Why a change may go unnoticed stands in tests/mutants_explained.yaml, by the text
of the change, so that it holds when lines move.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
WORK = ROOT / "var" / "mutants"
REPORT = ROOT / "docs" / "mutants.md"
EXPLAINED = ROOT / "tests" / "mutants_explained.yaml"
PLAIN = "_plain_"  # what the name of a function begins with whose decorators stand after it
# mutmut decorates these itself, or must not touch them.
_LEFT_TO_MUTMUT = frozenset({"staticmethod", "classmethod", "overload"})
# Prints what mutmut changed in each of these mutants of a file: one process for all of them.
_SHOW = """
import json, sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
file, *names = sys.argv[1:]
print(json.dumps({name: get_diff_for_mutant(name, path=file) for name in names}))
"""
# Exit codes of the tests of a mutant, as mutmut keeps them. All others are survivors: that no test reaches
# it, that it was skipped or interrupted, that its run broke (255).
_KILLED = frozenset({1, 3, 24, -24, 36, 152, -9, -11})
_NO_TEST = frozenset({5, 33})
_TOLD = re.compile(r"^\| `([^`]+)` \| (\d+) \| (\d+) \| [\d.]+ \| (\d{4}-\d\d-\d\d) \|$", re.MULTILINE)
_NAME = re.compile(r"(?P<module>[\w.]+)\.x(?:ǁ(?P<class>\w+)ǁ|_)(?P<function>\w+?)__mutmut_\d+$")


@dataclass(frozen=True, slots=True)
class Room:
    """Files of the package, by patterns, and the fast tests that hold them."""

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    arguments: tuple[str, ...] = ()


ROOMS = (
    Room("lead", ("integration/lead/*.py",), ("tests/unit/lead",)),
    Room(
        "judge",
        ("integration/hubspot/outcomes.py", "integration/hubspot/refusals.py"),
        ("tests/unit/hubspot/test_hubspot_judge.py", "tests/unit/hubspot/test_hubspot_outcomes.py"),
    ),
    Room(
        "pipeline",
        ("integration/pipeline/*.py",),
        (
            "tests/unit/pipeline",
            "tests/database/test_deliver.py",
            "tests/database/test_fetch.py",
            "tests/database/test_identity.py",
            "tests/database/test_pace.py",
            "tests/database/test_replay_engine.py",
            "tests/database/test_translate.py",
        ),
        ("-k", "not postgresql"),
    ),
)


@dataclass(frozen=True, slots=True)
class Survivor:
    """A change that no test noticed: where, what it was, what it became. `tested`: some test reaches it."""

    file: str
    line: int
    function: str
    was: str
    now: str
    tested: bool

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.file, self.function, self.was, self.now


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one file's mutants."""

    file: str
    killed: int
    survivors: tuple[Survivor, ...]


def unfolded(source: str) -> str:
    """The code with each decorated function as a plain one that is decorated after its end, line by line."""
    lines = source.splitlines()
    for function in _decorated(ast.parse(source)):
        indent = " " * function.col_offset
        called = function.name
        decorators = [ast.unparse(item) for item in function.decorator_list]
        for item in function.decorator_list:
            for number in range(item.lineno, (item.end_lineno or item.lineno) + 1):
                lines[number - 1] = ""
        head = lines[function.lineno - 1]
        lines[function.lineno - 1] = head.replace(f"def {called}(", f"def {PLAIN}{called}(", 1)
        after = function.end_lineno or function.lineno
        applied = f"{PLAIN}{called}"
        for decorator in reversed(decorators):
            applied = f"{decorator}({applied})"
        lines[after:after] = [] if after < len(lines) and not lines[after].strip() else [""]
        lines[after] = f"{indent}{called} = {applied}"
    return "\n".join(lines) + "\n"


def _decorated(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The decorated functions of the module and of its classes, the last one first."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    bodies = [tree.body, *(node.body for node in classes)]
    found = [node for body in bodies for node in body if isinstance(node, ast.FunctionDef)]
    for function in sorted(found, key=lambda node: -node.lineno):
        names = {ast.unparse(item).partition("(")[0] for item in function.decorator_list}
        if names and not names & _LEFT_TO_MUTMUT and not any("." in name for name in names):
            yield function


def prepare(room: Room, files: Sequence[str]) -> Path:
    """A fresh copy of the project for this room, with mutmut told what to do."""
    folder = WORK / room.name
    shutil.rmtree(folder, ignore_errors=True)
    leave = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("integration", "tests", "mappings", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    for name in files:
        (folder / name).write_text(unfolded((ROOT / name).read_text(encoding="utf-8")), encoding="utf-8")
    arguments = ["--hypothesis-profile=mutants", "-p", "no:cacheprovider", *room.arguments]
    settings = {
        "source_paths": ["integration"],
        "only_mutate": list(files),
        "pytest_add_cli_args_test_selection": list(room.tests),
        "pytest_add_cli_args": arguments,
        "also_copy": ["mappings", "docs"],
        "process_isolation": "forkserver",  # gevent and threads do not survive a plain fork
    }
    section = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(f"{project}\n[tool.mutmut]\n{section}\n", encoding="utf-8")
    return folder


def run_mutmut(folder: Path, processes: int) -> None:
    """Run mutmut in its copy of the project."""
    _in_copy(folder, "-P", "tests/mutants_run.py", "run", "--max-children", str(processes), stdout=None)


def _in_copy(folder: Path, *arguments: str, stdout: int | None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, check=True, text=True, stdout=stdout
    )
    return done.stdout or ""


def results_of(folder: Path, files: Iterable[str]) -> Iterator[Result]:
    """What mutmut found, file by file."""
    for file in files:
        meta = folder / "mutants" / f"{file}.meta"
        codes: Mapping[str, int | None] = (
            json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"] if meta.exists() else {}
        )
        source = (folder / file).read_text(encoding="utf-8")
        alive = [name for name, code in codes.items() if code not in _KILLED]
        diffs: dict[str, str] = json.loads(
            _in_copy(folder, "-c", _SHOW, file, *alive, stdout=subprocess.PIPE)
        )
        found = [
            _survivor(file, source, name, diffs[name], tested=codes[name] not in _NO_TEST) for name in alive
        ]
        killed = len(codes) - len(found)
        found += _excluded(file, (ROOT / file).read_text(encoding="utf-8"))
        yield Result(file, killed, tuple(sorted(found, key=lambda item: item.line)))


def _excluded(file: str, source: str) -> Iterator[Survivor]:
    """Lines that the code keeps from mutmut: each counts as one that survives."""
    for number, line in enumerate(source.splitlines(), 1):
        if "pragma: no mutate" in line:
            yield Survivor(file, number, "", line.strip(), "(excluded)", tested=False)


def _survivor(file: str, source: str, name: str, shown_diff: str, *, tested: bool) -> Survivor:
    match = _NAME.search(name)
    assert match, name
    function = match["function"]
    shown = function.removeprefix(PLAIN)
    shown = f"{match['class']}.{shown}" if match["class"] else shown
    diff = shown_diff.splitlines()
    body = diff[next(index for index, line in enumerate(diff) if line.startswith("@@")) :]
    was = next((line[1:].strip() for line in body if line.startswith("-")), "")
    now = next((line[1:].strip() for line in body if line.startswith("+")), "(gone)")
    start, end = _span(source, match["class"], function)
    lines = source.splitlines()[start - 1 : end]
    expected = int(re.findall(r"-(\d+)", body[0])[0]) + _before_change(body) - 1
    places = [index for index, line in enumerate(lines) if line.strip() == was] or [0]
    line = start + min(places, key=lambda index: abs(index - expected))
    return Survivor(file, line, shown, was, now, tested)


def _before_change(body: Sequence[str]) -> int:
    return next((index for index, line in enumerate(body[1:]) if line.startswith("-")), 0)


def _span(source: str, class_name: str | None, function: str) -> tuple[int, int]:
    """The first and last line of a function."""
    body: Sequence[ast.stmt] = ast.parse(source).body
    if class_name:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == class_name)
    found = next(
        node
        for node in body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == function
    )
    return found.lineno, found.end_lineno or found.lineno


def explanations() -> dict[tuple[str, str, str, str], str]:
    """Why changes may go unnoticed, by `Survivor.key`."""
    content = YAML(typ="safe").load(EXPLAINED.read_text(encoding="utf-8")) or {}
    return {
        (file, entry["in"], entry["was"], entry["now"]): entry["why"]
        for file, entries in content.items()
        for entry in entries
    }


@dataclass(frozen=True, slots=True)
class Told:
    """What the report says of one file: its row of the table, and its survivors."""

    killed: int
    survived: int
    day: str
    survivors: str = ""

    def row(self, file: str) -> str:
        """Its row of the table."""
        total = self.killed + self.survived
        return (
            f"| `{file}` | {self.killed} | {self.survived} | {100 * self.killed / total:.1f} | {self.day} |"
        )


def told(result: Result, why: Mapping[tuple[str, str, str, str], str], day: str) -> Told:
    """What the report will say of a file that was run."""
    head = ["| Line | In | Was, and became | Why it may |", "|---|---|---|---|"]
    rows = [_row(survivor, why) for survivor in result.survivors]
    return Told(result.killed, len(rows), day, "\n".join([*head, *rows]) if rows else "")


def told_before(text: str) -> dict[str, Told]:
    """What a report says, by file."""
    _, *sections = text.split("\n## ")
    survivors = {name.strip(): rows.strip() for name, _, rows in (part.partition("\n") for part in sections)}
    return {
        file: Told(int(killed), int(survived), day, survivors.get(file, ""))
        for file, killed, survived, day in _TOLD.findall(text)
    }


def report(files: Mapping[str, Told]) -> str:
    """docs/mutants.md."""
    killed = sum(item.killed for item in files.values())
    total = killed + sum(item.survived for item in files.values())
    lines = [
        "# Mutants",
        "",
        "Made by `make mutants`: mutmut changes the code in one place after the other, and the fast tests",
        "run against each change. A change that no test notices is a survivor; so is one that no test",
        "reaches, and each line that is kept from mutmut. Constants of modules and classes stay as they are.",
        "A change that makes the tests hang is noticed. A law is tried with 40 examples at most.",
        "A file that is not in the table was not run.",
        "",
        f"{killed} of {total} killed, {100 * killed / max(total, 1):.1f} of 100.",
        "",
        "| File | Killed | Survived | Killed of 100 | Run on |",
        "|---|---|---|---|---|",
        *(item.row(file) for file, item in sorted(files.items())),
    ]
    for file, item in sorted(files.items()):
        if item.survivors:
            lines += ["", f"## {file}", "", item.survivors]
    return "\n".join(lines) + "\n"


def _row(survivor: Survivor, why: Mapping[tuple[str, str, str, str], str]) -> str:
    said = why.get(survivor.key) or ("not explained yet" if survivor.tested else "no fast test reaches it")
    change = f"{_code(survivor.was)}<br>{_code(survivor.now)}"
    return f"| {survivor.line} | `{survivor.function}` | {change} | {said} |"


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"


def unused(results: Sequence[Result], why: Mapping[tuple[str, str, str, str], str]) -> list[str]:
    """Explanations of changes in these files that are noticed by now, or no longer there."""
    files = {result.file for result in results}
    there = {survivor.key for result in results for survivor in result.survivors}
    return [f"{key[0]}: {key[1]}: {key[2]}" for key in why if key[0] in files and key not in there]


def chosen_files(room: Room, only: Sequence[str]) -> list[str]:
    """The room's files whose path begins with one of `only`; all of them if there is none."""
    found = sorted({path for pattern in room.files for path in ROOT.glob(pattern)})
    names = [path.relative_to(ROOT).as_posix() for path in found if path.name != "__init__.py"]
    return [name for name in names if not only or name.startswith(tuple(only))]


def main() -> None:
    """Run all rooms, or those that a path names, and write the report."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", nargs="*", default=(), help="files whose path begins with one of these")
    parser.add_argument("--processes", type=int, choices=(1, 2), default=2)
    options = parser.parse_args()
    why = explanations()
    results: list[Result] = []
    for room in ROOMS:
        files = chosen_files(room, options.only)
        if files:
            folder = prepare(room, files)
            run_mutmut(folder, options.processes)
            results += results_of(folder, files)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    earlier = told_before(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else {}
    there = {file: item for file, item in earlier.items() if (ROOT / file).exists()}
    now = {result.file: told(result, why, day) for result in results}
    REPORT.write_text(report({**there, **now}), encoding="utf-8")
    print(
        f"{REPORT.relative_to(ROOT)}: {dict(Counter({item.file: len(item.survivors) for item in results}))}"
    )
    for line in unused(results, why):
        print(f"{EXPLAINED.relative_to(ROOT)}: explains what no longer survives: {line}")


if __name__ == "__main__":
    main()
