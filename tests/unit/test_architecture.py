"""The direction of the code: who may import whom, read from the code itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
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
# Time, waiting, threads, chance and sockets: modules, and names in modules, that only the world asks.
OF_THE_WORLD = re.compile(
    r"(_thread|asyncio|concurrent|fcntl|gevent|greenlet|multiprocessing|queue|random|sched|secrets|select"
    r"|selectors|signal|socket|socketserver|subprocess|threading|time|uuid)(\.|$)"
)
FUNCTIONS_OF_THE_WORLD = {
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "os.fork", "os.getpid", "os.getrandom", "os.uname", "os.urandom",
}  # fmt: skip
WORLD = "core/world.py"
BESIDE_THE_WORLD = {
    "http/wire.py": "opens the sockets of the requests that `World.outside` makes",
    "http/network.py": "names the errors of sockets, and asks nothing",
    "cli/serve_command.py": "starts real processes: looks whether gunicorn can have the port",
    "supervise.py": "starts and ends real processes",
    "web/gunicorn_conf.py": "is read by gunicorn: real processes and their signals",
    "sandbox/": "stands in for HubSpot, which lives in a world of its own",
    "cli/demo/": "drives real processes, and measures them",
}
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


def asked_of_the_machine(file: Path) -> Iterator[str]:
    """What a module takes from the machine by itself, as `name (line)`."""
    for dotted, statement in imports(file):
        if OF_THE_WORLD.match(dotted) or dotted in FUNCTIONS_OF_THE_WORLD:
            yield f"{dotted} (line {statement.lineno})"
    tree = ast.parse(file.read_text())
    suspicious = {name.rpartition(".")[2] for name in FUNCTIONS_OF_THE_WORLD}
    imported = dict(chain.from_iterable(map(names_of, ast.walk(tree))))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and last_name(node) in suspicious:
            first, *rest = ast.unparse(node).split(".")
            whole = ".".join([imported.get(first, first), *rest])
            if whole in FUNCTIONS_OF_THE_WORLD:
                yield f"{whole} (line {node.lineno})"


def last_name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def names_of(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The names that an import gives a module, each with what it stands for."""
    if isinstance(node, ast.Import):
        yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def stands_beside_the_world(path: str) -> str | None:
    return next((beside for beside in BESIDE_THE_WORLD if path.startswith(beside)), None)


def test_time_waiting_threads_and_chance_are_asked_of_the_world_alone() -> None:
    for file in MODULES:
        path = str(file.relative_to(PACKAGE))
        if path == WORLD or stands_beside_the_world(path):
            continue
        found = list(asked_of_the_machine(file))
        assert not found, f"{path}: {found}: use `world()` of integration/{WORLD}, or `now` of core/clock.py"


def test_nothing_stands_beside_the_world_without_need() -> None:
    needed = {
        stands_beside_the_world(str(file.relative_to(PACKAGE)))
        for file in MODULES
        if any(asked_of_the_machine(file))
    }

    assert set(BESIDE_THE_WORLD) <= needed


@pytest.mark.parametrize(
    "code",
    [
        "import time",
        "from time import sleep",
        "import concurrent.futures",
        "from datetime import datetime\ndatetime.now()",
        "import datetime as dt\ndt.datetime.utcnow()",
        "from datetime import date as day\nday.today()",
        "import os\nos.urandom(3)",
        "from os import urandom\nurandom(3)",
        "def inside():\n    import random",
    ],
)
def test_each_way_around_the_world_is_seen(code: str, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(code)

    assert list(asked_of_the_machine(file))


def test_what_only_sounds_like_the_world_is_not_forbidden(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("from datetime import datetime\nimport timeit, queues\ndatetime.fromtimestamp(time)")

    assert not list(asked_of_the_machine(file))


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
