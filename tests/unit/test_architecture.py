"""The direction of the code: who may import whom, read from the code itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "integration"
MODULES = sorted(PACKAGE.rglob("*.py"))

LEVELS = {
    0: {"core"},
    1: {"files", "body", "http"},
    2: {"verify"},
    3: {"mapping", "lead"},
    4: {"config"},
    5: {"store", "hubspot"},
    6: {"pipeline"},
    7: {"operate", "authoring"},
    8: {"worker", "supervise", "web", "sandbox"},
    9: {"cli"},
    10: {"__main__"},
}
LEVEL_OF = {name: level for level, names in LEVELS.items() for name in names}
STAGES = {"accept", "fetch", "translate", "deliver"}


def imports(file: Path) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def room(dotted: str) -> str:
    """The folder or file directly below the package: `integration.store.records` lives in `store`."""
    return dotted.split(".")[1] if "." in dotted else ""


def own_imports(file: Path) -> Iterator[str]:
    yield from (name for name, _ in imports(file) if name.startswith("integration."))


def room_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def test_every_module_has_a_level() -> None:
    rooms = {room_of(file) for file in MODULES} - {"__init__"}

    assert rooms <= set(LEVEL_OF), "give the new module its level in this test and in docs/design.md"


def test_no_two_modules_have_one_name() -> None:
    names = [file.stem for file in MODULES if file.stem not in {"__init__", "__main__"}]

    assert sorted(names) == sorted(set(names)), "an editor's tab must say which room one is in"


def test_the_design_shows_the_levels() -> None:
    rows = re.findall(r"^\| (\d) \| ((?:`\w+/?` ?)+)\|", (ROOT / "docs/design.md").read_text(), re.MULTILINE)
    shown = {int(level): set(re.findall(r"\w+", names)) for level, names in rows}

    assert shown == {level: names for level, names in LEVELS.items() if level in shown}
    assert set(shown) == set(range(10))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down(file: Path) -> None:
    here = room_of(file)
    for name in own_imports(file):
        there = room(name)
        if here == "__init__" or there in {here, "__version__"}:
            continue
        assert LEVEL_OF[there] < LEVEL_OF[here], f"{here} must not import {name}"


def test_stages_do_not_import_each_other() -> None:
    for stage in STAGES:
        names = set(own_imports(PACKAGE / "pipeline" / f"{stage}.py"))
        others = {name for name in names for other in STAGES - {stage} if f"pipeline.{other}." in f"{name}."}
        assert not others


def test_only_the_store_speaks_sql() -> None:
    for file in MODULES:
        if room_of(file) in {"store"}:
            continue
        found = {name for name, _ in imports(file) if name.startswith(("sqlite3", "psycopg", "alembic"))}
        sql = {
            name
            for name, _ in imports(file)
            if name.startswith("sqlalchemy") and name not in {"sqlalchemy.Connection"}
        }
        assert not found | sql, file


def test_only_the_one_way_out_calls_out() -> None:
    callers = {
        room_of(file)
        for file in MODULES
        if any(name.startswith(("requests.", "urllib3.", "http.client.")) for name in own_or_not(file))
    }

    assert callers == {"http"}


def own_or_not(file: Path) -> Iterator[str]:
    yield from (f"{name}." for name, _ in imports(file))


def test_an_account_is_always_passed_explicitly() -> None:
    assert [f"{file}:{line}" for file in MODULES for line in defaults_of(file, "account")] == []


def defaults_of(file: Path, name: str) -> Iterator[int]:
    """The lines where a parameter or a field of this name has a default."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.arguments):
            last = [*node.posonlyargs, *node.args][len(node.posonlyargs + node.args) - len(node.defaults) :]
            named = zip(node.kwonlyargs, node.kw_defaults, strict=True)
            with_default = [*last, *(parameter for parameter, default in named if default is not None)]
            yield from (parameter.lineno for parameter in with_default if parameter.arg == name)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield from (node.lineno for _ in [1] if getattr(node.target, "id", "") == name)


def test_the_account_in_use_is_named_at_the_edges_only() -> None:
    naming = {file for file in MODULES if "MAIN_ACCOUNT" in names_in(file)}

    assert naming <= {
        PACKAGE / "core/values.py",  # which defines it
        PACKAGE / "web/app.py",
        PACKAGE / "worker.py",
        *(PACKAGE / "cli").rglob("*.py"),
    }


def names_in(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return (
        imported
        | {node.id for node in nodes if isinstance(node, ast.Name)}
        | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    )


def test_there_are_no_cycles_between_modules() -> None:
    graph = {module_name(file): set(resolved(file)) for file in MODULES}
    state: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name) == 2:
            return
        assert state.get(name) != 1, f"import cycle: {' -> '.join((*path, name))}"
        state[name] = 1
        for other in graph.get(name, ()):
            visit(other, (*path, name))
        state[name] = 2

    for name in graph:
        visit(name, ())


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def resolved(file: Path) -> Iterator[str]:
    """The modules that a file imports, each as the name of a file that exists."""
    known = {module_name(module) for module in MODULES}
    here = module_name(file)
    for name in own_imports(file):
        module = name if name in known else name.rpartition(".")[0]
        if module in known and module != here and not here.startswith(f"{module}."):
            yield module


def test_imports_stand_at_the_top_unless_a_reason_is_given() -> None:
    for file in MODULES:
        lines = file.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    assert "noqa: PLC0415 - " in lines[inner.lineno - 1], (
                        f"{file}:{inner.lineno}: give the reason"
                    )


def test_functions_stay_small() -> None:
    for file in MODULES:
        if "migrations" in file.parts:
            continue  # written by Alembic
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 60, f"{file}:{node.lineno}: {node.name} has {length} lines"
