"""The parts of the docs that are made from the code. `make docs` writes them, test_docs.py holds them.

So is what `mapping.schema.json`, which editors read, says of the signature schemes' options.

A part stands in a page between `<!-- made: NAME -->` and `<!-- end -->`. NAME is one of PARTS with its
argument, or `$ leadwire ...`: what that command prints, run where the files shown on the page exist. A page
shows a file as a code block after `<!-- file: mappings/acme/mapping.yaml -->`.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from prometheus_client import Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from integration.cli import SECTIONS, main
from integration.config.sources import Configuration
from integration.core import metrics
from integration.core.settings import SETTINGS
from integration.lead.catalogue import Catalogue
from integration.lead.properties import ARCHIVE_FIELD, CUSTOMER, STAGE_PROPERTY, UNWRITABLE, PropertyTable
from integration.mapping import conversions
from integration.mapping.assignments import CONVERSIONS
from integration.mapping.conversions import Convert
from integration.mapping.functions import own_functions
from integration.mapping.language import FILE as SCHEMA_FILE
from integration.mapping.language import SCHEMA
from integration.store.engine import Store
from integration.store.upgrade import upgrade
from integration.verify import SCHEMES
from integration.web.gauges import gauges

ROOT = Path(__file__).parents[1]
EXAMPLES_FILE = ROOT / "integration/mapping/examples.yaml"
PAGES = sorted(
    file
    for pattern in ("*.md", "docs/*.md", "mappings/*/*.md", "bench/*.md", "fuzz/*.md")
    for file in ROOT.glob(pattern)
)
_PART = re.compile(r"(?P<begin><!-- made: (?P<name>.+?) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
_FILE = re.compile(r"<!-- file: (?P<path>\S+) -->\n+```[^\n]*\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
PLACES: Mapping[str, tuple[str, ...]] = {
    "file": (),
    "event": ("properties", "event"),
    "event.time": ("properties", "event", "properties", "time"),
    "fetch": ("properties", "fetch"),
    "oauth": ("$defs", "oauth"),
    "lead": ("properties", "lead"),
    "rule": ("properties", "rules", "items"),
    "body": ("properties", "body"),
    "handshake": ("properties", "handshake", "items"),
    "respond": ("properties", "respond"),
    "test": ("properties", "tests", "items"),
    "value": ("$defs", "fieldValue"),
}


def rendered(text: str) -> str:
    """The page with its made parts as they must be now."""
    files = files_of(text)

    def part(match: re.Match[str]) -> str:
        return f"{match['begin']}{made(match['name'], files)}{match['end']}"

    return _PART.sub(part, text)


def files_of(text: str) -> dict[str, str]:
    """The files that a page shows, by path."""
    return {match["path"]: match["text"] for match in _FILE.finditer(text)}


def made(name: str, files: Mapping[str, str]) -> str:
    """One part, ending in a line end. `files` are those that the page shows."""
    if name.startswith("$ "):
        return _run(name.removeprefix("$ "), files)
    kind, _, argument = name.partition(" ")
    lines = PARTS[kind](argument) if argument else PARTS[kind]()
    return "\n" + "\n".join(lines) + "\n\n"


_SCHEMES = re.compile(r'(?<=\n    "verify": )\{\n.*?\n    \}(?=,\n)', re.DOTALL)


def schema_text(text: str) -> str:
    """The text of `mapping.schema.json` with what the schemes declare in the place of what stands there."""
    verify = json.dumps(SCHEMA["$defs"]["verify"], indent=2, ensure_ascii=False)
    return _SCHEMES.sub(lambda _: verify.replace("\n", "\n    "), text, count=1)


# Commands


def _run(command: str, files: Mapping[str, str]) -> str:
    program, *arguments = shlex.split(command)
    if program != "leadwire":
        raise ValueError(f"{command}: only leadwire can be run")
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        shutil.copytree(ROOT / "mappings", "mappings")
        for path, text in files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text, encoding="utf-8")
        known = {setting.name: None for setting in SETTINGS}
        output = CliRunner().invoke(main, arguments, env=known).output
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    return "\n".join(["```console", f"$ {command}", *lines, "```"]) + "\n"


def commands() -> Iterator[tuple[str, str, click.Command]]:
    """Every command: its section, its full name without `leadwire`, and itself."""
    for section, names in SECTIONS.items():
        for name in names:
            command = main.get_command(click.Context(main), name)
            assert command is not None
            yield from ((section, *found) for found in _with_inner(name, command))


def _with_inner(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner_name, inner in command.commands.items():
            yield from _with_inner(f"{name} {inner_name}", inner)


def _commands() -> Iterator[str]:
    for section, found in groupby(commands(), key=lambda item: item[0]):
        yield from (f"### {section}", "")
        for _, name, command in found:
            yield from _command(name, command)


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"leadwire {name}")
    usage = " ".join(command.collect_usage_pieces(context)).replace("[OPTIONS]", "").strip()
    yield from (f"**`leadwire {' '.join(f'{name} {usage}'.split())}`**", "")
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    for paragraph in paragraphs:
        yield from (_prose(" ".join(paragraph.split())), "")
    options = [option for option in command.params if isinstance(option, click.Option)]
    if options:
        yield from (f"- {_option(option, context)}" for option in options)
        yield ""


def _option(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None
    written, text = record
    return f"`{written}`: {_prose(' '.join(text.split()))}"


# Settings, metrics


def _settings() -> Iterable[str]:
    rows = ((f"`{s.name}`", f"`{s.default}`" if s.default else "", s.help) for s in SETTINGS)
    return _table(("setting", "default", "meaning"), rows)


def metric_names() -> dict[str, tuple[str, str, str]]:
    """Every metric of ours: its type, labels and meaning, by name."""
    found = {}
    for collector in vars(metrics).values():
        if isinstance(collector, Counter | Histogram):
            (family,) = collector.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = (family.type, ", ".join(collector._labelnames), family.documentation)
    return found | _gauges()


def _gauges() -> dict[str, tuple[str, str, str]]:
    labels = {
        "leadwire_dead_letters": "kind, cause",
        "leadwire_events_fetching": "source",
        "leadwire_requests_held": "source",
        "leadwire_mapping_mistakes": "source",
        "leadwire_leads_waiting_for": "what",
    }
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/docs.db")
        upgrade(store)
        text = gauges(store, Configuration(Catalogue(), {}, ()), 0).decode()
        store.dispose()
    families = text_string_to_metric_families(text)
    return {f.name: (f.type, labels.get(f.name, ""), f.documentation) for f in families}


def _metrics() -> Iterable[str]:
    rows = ((f"`{name}`", *facts) for name, facts in metric_names().items())
    return _table(("metric", "type", "labels", "meaning"), rows)


# The mapping language


def keys_of(where: str) -> dict[str, str]:
    """The keys that may stand at a place of a mapping file (`event`, `value`, ...), and their meaning."""
    node = SCHEMA
    for step in PLACES[where]:
        node = node[step]
    required = node.get("required", ())
    return {
        key: _meaning(schema) + (" Required." if key in required else "")
        for key, schema in node["properties"].items()
    }


def _meaning(schema: Mapping[str, Any]) -> str:
    own = schema.get("description")
    if own or "$ref" not in schema:
        return str(own or "")
    return _meaning(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])


def _keys(where: str) -> Iterable[str]:
    return _table(("key", "meaning"), ((f"`{key}`", text) for key, text in keys_of(where).items()))


def operators() -> dict[str, str]:
    """Every operator of `when:` and its meaning."""
    found = SCHEMA["$defs"]["operators"]["properties"]
    return {name: _meaning(schema) for name, schema in found.items()}


def _operators() -> Iterable[str]:
    return _table(
        ("operator", "true when the value is"), ((f"`{n}`", text) for n, text in operators().items())
    )


def conversion_names() -> dict[str, str]:
    """Every value of `as:` and what it does, from the docstrings of the code."""
    others: dict[str, Callable[..., Convert]] = {
        "date": conversions.as_date,
        "minor_units": conversions.as_minor_units,
    }
    names = SCHEMA["$defs"]["as"]["enum"]
    functions = {**CONVERSIONS, **others}
    return {name: _first_line(functions[name]).removeprefix(f"`as: {name}`").lstrip(".: ") for name in names}


def _first_line(function: Callable[..., Any]) -> str:
    return inspect.cleandoc(function.__doc__ or "").partition("\n")[0]


def _conversions() -> Iterable[str]:
    return _table(
        ("`as:`", "what it reads"), ((f"`{name}`", text) for name, text in conversion_names().items())
    )


def _functions() -> Iterator[str]:
    for name, function in own_functions().items():
        text, _, examples = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
        yield from (f"**`{name}`**: {' '.join(text.split())}", "", "```python")
        yield from (*examples.splitlines(), "```", "")


def shown_examples() -> list[dict[str, Any]]:
    """The examples of the language, each with the text of its lines as they stand in the file."""
    content = EXAMPLES_FILE.read_text(encoding="utf-8")
    examples: list[dict[str, Any]] = YAML(typ="safe").load(content)
    texts = re.split(r"^- ", content, flags=re.MULTILINE)[1:]
    lines = [dict(line.strip().split(": ", 1) for line in text.strip().splitlines()) for text in texts]
    return [{**example, "lines": shown} for example, shown in zip(examples, lines, strict=True)]


_OUTCOMES = {
    "gives": "gives {}",
    "skips": "field left alone",
    "clears": "field blanked",
    "dead": "dead letter `{}`",
}


def _examples(keys: str) -> Iterable[str]:
    wanted = [key.strip() for key in keys.split(",")]
    rows = [_example_row(item) for key in wanted for item in shown_examples() if item["key"] == key]
    if not rows:
        raise ValueError(f"no example has the key {keys}")
    return _table(("", "mapping", "payload", "outcome"), rows)


def _example_row(example: Mapping[str, Any]) -> tuple[str, ...]:
    shown: dict[str, str] = example["lines"]
    written = [_code(f"field: {shown['spec']}")] if "spec" in shown else []
    written += [_code(f"{name}: {shown[name]}") for name in ("when", "tables") if name in shown]
    given = [_code(shown["payload"])]
    given += [_code(f"{name}: {shown[name]}") for name in ("headers", "query") if name in shown]
    return example["title"], "<br>".join(written), "<br>".join(given), _example_outcome(example)


def _example_outcome(example: Mapping[str, Any]) -> str:
    shown: dict[str, str] = example["lines"]
    if "holds" in example:
        return "holds" if example["holds"] else "does not hold"
    outcome = next(name for name in _OUTCOMES if name in example)
    value = shown[outcome] if outcome == "dead" else f"`{shown[outcome]}`"
    return _OUTCOMES[outcome].format(value) + (f", `write: {shown['write']}`" if "write" in shown else "")


def scheme_options() -> dict[str, dict[str, str]]:
    """The options of every scheme, nested ones as `list.separator`, and their meaning."""
    return {name: dict(_options(kind.options)) for name, kind in SCHEMES.items()}


def _options(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, option in schema["properties"].items():
        choices = ", ".join(f"`{choice}`" for choice in option.get("enum", ()))
        needed = " Required." if key in schema.get("required", ()) else ""
        yield (
            f"{prefix}{key}",
            " ".join(filter(None, [choices and f"{choices}.", option["description"]])) + needed,
        )
        if "properties" in option:
            yield from _options(option, f"{prefix}{key}.")


def _schemes() -> Iterator[str]:
    for name, options in scheme_options().items():
        yield from (f"### `scheme: {name}`", "", str(SCHEMES[name].options["description"]), "")
        if options:
            yield from _table(("option", "meaning"), ((f"`{key}`", text) for key, text in options.items()))
            yield ""


def _fields() -> Iterator[str]:
    fields = sorted(Catalogue().fields.values(), key=lambda field: field.type)
    rows = (
        (kind, ", ".join(f"`{field.name}`" for field in found))
        for kind, found in groupby(fields, key=lambda field: field.type)
    )
    yield from _table(("type", "fields"), rows)


# Sources


FACTS = ("signature", "answer", "retries", "order", "event id")


def source_folders() -> list[Path]:
    """The folder of every source."""
    return sorted(file.parent for file in ROOT.glob("mappings/*/mapping.yaml"))


def vendor_facts(folder: Path) -> dict[str, str]:
    """What the README of a source says under `## What ... do(es)`, by row; raises ValueError."""
    page = folder / "README.md"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    found = re.search(r"^## What .+ do(?:es)?\n(?P<part>.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| *([a-z ]+?) *\|(.*)\|$", found["part"] if found else "", re.MULTILINE)
    facts = {name: fact.strip().replace("\\|", "|") for name, fact in rows}
    missing = [name for name in FACTS if not facts.get(name)]
    if missing:
        shown = page.relative_to(ROOT)
        raise ValueError(f"{shown}: the table under `## What ... does` lacks {', '.join(missing)}")
    return facts


def _contact_properties() -> Iterable[str]:
    table = PropertyTable()
    rows = []
    for name in sorted(Catalogue().fields, key=str.lower):
        if name == ARCHIVE_FIELD:
            rows.append(
                (f"`{name}`", "-", "`true` deletes (archives) the contact; it cannot be brought back")
            )
        elif (target := table.property_of(name)) is None:
            rows.append((f"`{name}`", "none", UNWRITABLE[name]))
        else:
            note = f"and `{STAGE_PROPERTY}` becomes `{CUSTOMER}`" if name == "closedAt" else ""
            rows.append((f"`{name}`", f"`{target}`", note))
    rows.append(("a field of your own", "its name in small letters", "or what `contacts:` says"))
    return _table(("field", "contact property", ""), rows)


def _sources() -> Iterable[str]:
    headings = ("system", "source", "scheme", "setting", "order", "answer", "retries", "event id")
    return _table(headings, (_source_row(folder) for folder in source_folders()))


def _source_row(folder: Path) -> tuple[str, ...]:
    mapping = YAML(typ="safe").load(folder / "mapping.yaml")
    facts = {name: _without_sources(fact) for name, fact in vendor_facts(folder).items()}
    verify = mapping["verify"]
    title = mapping.get("title", folder.name)
    return (
        f"[{title}](../mappings/{folder.name}/README.md)",
        f"`{folder.name}`",
        f"`{verify['scheme']}`",
        ", ".join(f"`{name}`" for name in (verify["secrets"][0], *_fetch_settings(mapping.get("fetch", {})))),
        facts["order"].partition(":")[0],
        facts["answer"],
        facts["retries"],
        facts["event id"],
    )


_OF_OAUTH = ("client_id", "client_secret", "refresh_token")


def _fetch_settings(fetch: Mapping[str, Any]) -> Iterator[str]:
    auth, base = fetch.get("auth", {}), fetch.get("base")
    yield from (auth[key] for key in ("bearer", "basic", "setting") if key in auth)
    yield from (value for key, value in auth.get("oauth", {}).items() if key in _OF_OAUTH)
    if isinstance(base, Mapping):
        yield base["setting"]


def _without_sources(fact: str) -> str:
    """Without the links that say where a fact comes from: these stand in the README."""
    return re.sub(r" ?\((?=[^()]*\]\()(?:[^()]|\([^()]*\))*\)", "", fact)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    headings = tuple(headings)
    yield _row(headings)
    yield _row("---" for _ in headings)
    yield from (_row(_prose(cell).replace("|", "\\|") for cell in row) for row in rows)


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _prose(text: str) -> str:
    """The text with `<` outside of code escaped, so that nothing of it is taken for HTML."""
    parts = re.split(r"(``.+?``|`[^`]*`|<br>)", text)
    return "".join(part if index % 2 else part.replace("<", "\\<") for index, part in enumerate(parts))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


PARTS: Mapping[str, Callable[..., Iterable[str]]] = {
    "contact-properties": _contact_properties,
    "commands": _commands,
    "settings": _settings,
    "metrics": _metrics,
    "keys": _keys,
    "operators": _operators,
    "conversions": _conversions,
    "functions": _functions,
    "examples": _examples,
    "schemes": _schemes,
    "fields": _fields,
    "sources": _sources,
}


def write_pages() -> None:
    """Bring the made parts of all pages up to date, and that of the schema."""
    for file in (SCHEMA_FILE, *PAGES):
        before = file.read_text(encoding="utf-8")
        after = schema_text(before) if file == SCHEMA_FILE else rendered(before)
        if after != before:
            file.write_text(after, encoding="utf-8")
            click.echo(f"updated {os.path.relpath(file, ROOT)}")


if __name__ == "__main__":
    write_pages()
