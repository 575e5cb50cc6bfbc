"""The docs say what the code does. A failure names the file to edit, or says to run `make docs`."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

from integration import body
from integration.cli.demo.story import story
from integration.core import durations
from integration.core.settings import SETTINGS
from integration.core.values import OutcomeKind, WriteRule
from integration.hubspot.caller import MAX_ANSWER_BYTES
from integration.lead.catalogue import Catalogue
from integration.lead.fields_file import load_catalogue
from integration.mapping import MappingError, SourceMapping, load_mapping
from integration.mapping.conditions import LONGEST_MATCHED_TEXT
from integration.mapping.language import FORM
from integration.verify import build
from integration.verify.options import DEFAULT_TOLERANCE
from integration.verify.redaction import HEADERS_LIMIT
from integration.verify.scheme import HEADER_LIMIT
from tests import docs_tables
from tests.docs_tables import PAGES, ROOT

README = ROOT / "README.md"
OPERATIONS = ROOT / "docs/operations.md"
REFERENCE = ROOT / "docs/mapping-reference.md"
SECURITY = ROOT / "docs/security.md"
GLOSSARY = ROOT / "docs/glossary.md"
DESIGN = ROOT / "docs/design.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
CODE = sorted((ROOT / "integration").rglob("*.py"))

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


# Made parts


@every_page
def test_made_parts_are_up_to_date(page: Path) -> None:
    text = text_of(page)
    assert docs_tables.rendered(text) == text, f"{shown(page)}: run `make docs`"


@pytest.mark.parametrize("name", ["settings", "commands", "metrics"])
def test_operations_has_the_part(name: str) -> None:
    assert f"<!-- made: {name} -->" in text_of(OPERATIONS), f"{shown(OPERATIONS)}: add the part {name}"


@pytest.mark.parametrize(
    "name", ["operators", "conversions", "functions", "schemes", "fields"]
    + [f"keys {where}" for where in docs_tables.PLACES]
)  # fmt: skip
def test_reference_has_the_part(name: str) -> None:
    assert f"<!-- made: {name} -->" in text_of(REFERENCE), f"{shown(REFERENCE)}: add the part {name}"


@pytest.mark.parametrize("folder", docs_tables.source_folders(), ids=lambda folder: folder.name)
def test_each_source_says_what_its_vendor_does(folder: Path) -> None:
    facts = docs_tables.vendor_facts(folder)
    assert set(docs_tables.FACTS) <= set(facts)


def test_the_page_of_sources_has_each_of_them() -> None:
    rows = rows_after("<!-- made: sources -->", ROOT / "docs/sources.md")
    assert [row[1].strip("`") for row in rows] == [folder.name for folder in docs_tables.source_folders()]


def test_reference_shows_every_example_of_the_language() -> None:
    parts = re.findall(r"<!-- made: examples (.+?) -->", text_of(REFERENCE))
    keys = {key.strip() for part in parts for key in part.split(",")}
    missing = {example["key"] for example in docs_tables.shown_examples()} - keys
    assert not missing, f"{shown(REFERENCE)}: add the examples of {missing}"


def test_every_made_part_says_something() -> None:
    described = {
        "setting": {setting.name: setting.help for setting in SETTINGS},
        "metric": {name: facts[2] for name, facts in docs_tables.metric_names().items()},
        "operator": docs_tables.operators(),
        "conversion": docs_tables.conversion_names(),
        **{f"key of {where}": docs_tables.keys_of(where) for where in docs_tables.PLACES},
    }
    silent = [
        f"{kind} {name}" for kind, found in described.items() for name, text in found.items() if not text
    ]
    assert not silent, f"describe in the code: {silent}"


# Words that the code uses and tables that people write


def calls(*names: str) -> Iterator[ast.Call]:
    for file in CODE:
        if "sandbox" in file.parts:
            continue  # the stand-in's own errors are HubSpot's, not ours
        for node in ast.walk(ast.parse(text_of(file))):
            if isinstance(node, ast.Call) and name_of(node.func) in names:
                yield node


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def words_in(node: ast.expr) -> Iterator[str]:
    """The words that an argument can be: `"late"`, or both of `"late" if late else "early"`."""
    branches = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    yield from (n.value for n in branches if isinstance(n, ast.Constant) and isinstance(n.value, str))


def words_of(calls_and_position: Iterator[ast.Call], position: int) -> set[str]:
    return {
        word
        for call in calls_and_position
        if len(call.args) > position
        for word in words_in(call.args[position])
    }


def actions_in_code() -> set[str]:
    in_dicts = {
        value.value
        for file in CODE
        for node in ast.walk(ast.parse(text_of(file)))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "action" and isinstance(value, ast.Constant)
    }
    return words_of(calls("log_action"), 1) | {str(word) for word in in_dicts}


def rows_after(heading: str, page: Path) -> list[list[str]]:
    """The cells of the first table after a line that begins so, without its head."""
    lines = iter(text_of(page).splitlines())
    assert any(line.startswith(heading) for line in lines), f"{shown(page)}: {heading!r} is gone"
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def first_words(rows: list[list[str]], column: int = 0) -> set[str]:
    return {row[column].strip("`").split("`")[0] for row in rows}


def test_operations_lists_the_log_actions() -> None:
    listed = first_words(rows_after("## Logs", OPERATIONS))
    assert listed == actions_in_code(), f"{shown(OPERATIONS)}: correct the table of log actions"


def test_design_names_only_actions_that_exist() -> None:
    named = set(
        re.findall(
            r"`([a-z]+\.[a-z_]+)`",
            "".join(row[4] for row in rows_after("A record's transitions are", DESIGN)),
        )
    )
    assert named <= actions_in_code(), f"{shown(DESIGN)}: unknown actions {named - actions_in_code()}"


def test_operations_lists_the_causes() -> None:
    passing = {"unknown", "ignored"}  # stand-ins that never reach a dead letter
    in_code = words_of(calls("Cause", "BadValueError"), 0) - passing
    listed = first_words(rows_after("## Dead letters by cause", OPERATIONS))
    assert listed == in_code, f"{shown(OPERATIONS)}: correct the table of causes"


def section(title: str) -> str:
    return text_of(OPERATIONS).split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_operations_lists_the_reasons_of_rejected_requests() -> None:
    in_code = words_of(calls("NotVerifiedError", "Verdict"), 0)
    listed = first_words(rows_after("what is rejected, with its reason", OPERATIONS))
    missing = [word for word in sorted(in_code) if f"`{word}`" not in section("HTTP")]
    assert not missing, f"{shown(OPERATIONS)}: say what the reasons {missing} are"
    assert listed - {"malformed_body"} <= in_code, f"{shown(OPERATIONS)}: unknown reasons {listed - in_code}"


def test_operations_lists_the_codes_of_problems() -> None:
    raised = calls("RefusedError", "problem", "MalformedBody", "_UnreadableBodyError")
    in_code = words_of(raised, 1)
    listed = first_words(rows_after("Errors are problem documents", OPERATIONS), 1)
    assert listed == in_code, f"{shown(OPERATIONS)}: correct the table of problem documents"


def test_operations_names_every_process() -> None:
    processes = set(re.findall(r"^(\w+):", (ROOT / "Procfile").read_text(), re.MULTILINE))
    assert first_words(rows_after("## Processes", OPERATIONS)) == processes, (
        f"{shown(OPERATIONS)}: see Procfile"
    )


def test_glossary_has_the_words_of_the_code() -> None:
    meanings = {row[0]: row[1] for row in rows_after("# Glossary", GLOSSARY)}
    for rule in get_args(WriteRule):
        assert rule in meanings["write rule"], f"{shown(GLOSSARY)}: name the write rule {rule}"
    for kind in get_args(OutcomeKind):
        assert kind.replace("_", " ").replace("again", "again later") in meanings["outcome"], (
            f"{shown(GLOSSARY)}: name the outcome {kind}"
        )


def test_glossary_words_are_in_use() -> None:
    others = "".join(text_of(file) for file in [*PAGES, *CODE] if file != GLOSSARY)
    unused = [row[0] for row in rows_after("# Glossary", GLOSSARY) if row[0] not in others]
    assert not unused, f"{shown(GLOSSARY)}: nobody says {unused} any more"


@every_page
def test_named_tests_exist(page: Path) -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of(page)):
        assert f"def {name}(" in text_of(ROOT / file), f"{shown(page)}: {file} has no {name}"


# Commands, make targets, links


def code_in(page: Path) -> Iterator[str]:
    """Each command line that the page shows: lines of code blocks, and code within a sentence."""
    outside = []
    for index, part in enumerate(re.split(r"^ *```.*$", text_of(page), flags=re.MULTILINE)):
        if index % 2:
            yield from part.splitlines()
        else:
            outside.append(part)
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", "".join(outside)))


OPTIONS = {
    name: {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    for _, name, command in docs_tables.commands()
}


@every_page
def test_shown_commands_exist(page: Path) -> None:
    for code in code_in(page):
        found = re.match(r"(?:[$#] )?(?:\.venv/bin/)?leadwire (?P<words>[a-z ]*[a-z])(?P<rest>.*)", code)
        if found is None:
            continue
        words = found["words"].split()
        name = next((n for n in (" ".join(words[:2]), words[0]) if n in OPTIONS), None)
        assert name, f"{shown(page)}: there is no such command: {code}"
        unknown = set(re.findall(r"(?<!\S)--[a-z-]+", found["rest"])) - OPTIONS[name] - {"--help"}
        assert not unknown, f"{shown(page)}: {name} has no option {unknown}: {code}"


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@every_page
def test_shown_make_targets_exist(page: Path) -> None:
    for code in code_in(page):
        for target in re.findall(r"(?:^|\s)make ([a-z-]+)", code):
            assert target in make_targets(), f"{shown(page)}: the Makefile has no target {target}"


def test_contributing_lists_every_make_target() -> None:
    listed = {target for code in code_in(CONTRIBUTING) for target in re.findall(r"^make ([a-z-]+)", code)}
    missing = make_targets() - listed - {"help"}
    assert not missing, f"{shown(CONTRIBUTING)}: add the make targets {missing}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    without_code = re.sub(r"^ *```.*?^ *```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{shown(page)}: {target} leads nowhere"
        if anchor:
            assert anchor in anchors(file), f"{shown(page)}: {shown(file)} has no heading for #{anchor}"


def test_every_page_of_docs_is_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+)\)", text_of(README)))
    missing = {shown(page) for page in PAGES if page.parent.name == "docs"} - linked
    assert not missing, f"{shown(README)}: link {missing}"


# Numbers

SAID = [
    (SECURITY, f"{body.MAX_DEPTH} levels; no NaN"),
    (SECURITY, f"{body.MAX_FORM_FIELDS:,} fields, {body.MAX_FORM_DEPTH} levels"),
    (SECURITY, f"reads | {HEADER_LIMIT:,} characters"),
    (SECURITY, f"{HEADERS_LIMIT:,} characters in all"),
    (SECURITY, f"text of at most {LONGEST_MATCHED_TEXT:,} characters"),
    (SECURITY, f"{FORM.largest // 1024} KiB, {FORM.most_nodes:,} parts"),
    (SECURITY, f"{MAX_ANSWER_BYTES // 1024} KiB are read"),
    (SECURITY, f"`tolerance`, {DEFAULT_TOLERANCE} s by default"),
    (OPERATIONS, f"after {durations.DELIVERY_PAUSE.first:g} s at first"),
    (OPERATIONS, f"at most every {durations.DELIVERY_PAUSE.longest / 60:g} minutes"),
    (OPERATIONS, f"could not be reached for {durations.LEAD_RETRY.give_up_days} days"),
    (OPERATIONS, f"from {durations.PROCESS_RESTART.first:g} to {durations.PROCESS_RESTART.longest:g} s"),
    (REFERENCE, f"{FORM.largest // 1024} KiB and {FORM.most_nodes:,} parts"),
]


@pytest.mark.parametrize(("page", "words"), SAID, ids=[words for _, words in SAID])
def test_numbers_are_those_of_the_code(page: Path, words: str) -> None:
    assert words in " ".join(text_of(page).split()), f"{shown(page)}: the code says {words!r}"


# YAML


def yaml_blocks() -> Iterator[tuple[Path, str, str]]:
    for page in PAGES:
        for match in re.finditer(r"^```yaml([^\n]*)\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL):
            yield page, match[1].strip(), match[2]


BLOCKS = list(yaml_blocks())
REST_OF_A_FILE = {
    "version": "version: 1",
    "source": "source: acme",
    "verify": "verify: {scheme: token, secrets: [ACME_TOKEN]}",
    "event": "event: {type: type}",
    "lead": "lead: {email: email}",
    "rules": "rules: [{name: all, events: ['*'], set: {city: city}}]",
}


def loaded(folder: Path, page: Path, text: str) -> SourceMapping:
    """The mapping of a block, in a folder that has the files which its page shows."""
    files = docs_tables.files_of(text_of(page))
    for path, content in files.items():
        file = folder.joinpath(*Path(path).parts[1:])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    name = YAML(typ="safe").load(text)["source"]
    file = folder / name / "mapping.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    custom = ROOT / "mappings/fields.yaml"
    return load_mapping(file, shown(page), load_catalogue(custom, "fields.yaml").field_problem)


@pytest.mark.parametrize(
    ("page", "kind", "text"), BLOCKS, ids=[f"{p.name}-{i}" for i, (p, _, _) in enumerate(BLOCKS)]
)
def test_yaml_is_what_it_says(page: Path, kind: str, text: str, tmp_path: Path) -> None:
    match kind:
        case "":
            mapping = loaded(tmp_path, page, text)
            build(mapping.verify.options)
        case "fragment":
            keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
            rest = "\n".join(line for key, line in REST_OF_A_FILE.items() if key not in keys)
            build(loaded(tmp_path, page, f"{text}\n{rest}\n").verify.options)
        case "broken":
            with pytest.raises(MappingError):
                loaded(tmp_path, page, text)
        case "fields":
            file = tmp_path / "fields.yaml"
            file.write_text(text, encoding="utf-8")
            assert set(load_catalogue(file, "fields.yaml").fields) > set(Catalogue().fields)
        case _:
            pytest.fail(f"{shown(page)}: ```yaml {kind}: write yaml, or yaml fragment, broken or fields")


def test_the_file_with_every_key_has_every_key() -> None:
    text = docs_tables.files_of(text_of(REFERENCE))["mappings/every/mapping.yaml"]
    document: dict[str, Any] = YAML(typ="safe").load(text)
    parts: dict[str, Any] = {
        "file": document,
        "event": document["event"],
        "fetch": document["fetch"],
        "oauth": document["fetch"]["auth"]["oauth"],
        "lead": document["lead"],
        "rule": document["rules"][0],
        "body": document["body"],
        "handshake": {key: entry[key] for entry in document["handshake"] for key in entry},
        "respond": document["respond"],
        "test": document["tests"][0],
    }
    for where, part in parts.items():
        instead_of_others = {"expect_ignored", "expect_dead", "grant", "scope"}
        missing = set(docs_tables.keys_of(where)) - set(part) - instead_of_others
        assert not missing, f"{shown(REFERENCE)}: mappings/every/mapping.yaml lacks {missing}"


# README


def test_readme_shows_steps_of_the_demo() -> None:
    steps = [step.shows for step in story(0)]
    shown_steps = re.findall(r"^ ok   (\d)\. (.+?)(?:  .*)?$", text_of(README), re.MULTILINE)
    assert shown_steps, f"{shown(README)}: show a run of `make demo`"
    for number, title in shown_steps:
        assert steps[int(number) - 1].startswith(title), f"{shown(README)}: step {number} is another now"
    assert f"{len(steps)} steps, all as they must be" in text_of(README), f"{shown(README)}: run `make demo`"


def test_readme_names_the_python_that_is_needed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["requires-python"].removeprefix(">=")
    assert f"Python {wanted}" in text_of(README), f"{shown(README)}: pyproject.toml wants Python {wanted}"


def test_changelog_knows_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in text_of(ROOT / "CHANGELOG.md"), f"CHANGELOG.md: add {version}"


def test_every_command_is_in_the_changelog() -> None:
    text = text_of(ROOT / "CHANGELOG.md")
    names = {name for _, name, _ in docs_tables.commands() if " " not in name}
    missing = [name for name in sorted(names) if not re.search(rf"`{name}[ `]", text)]
    assert not missing, f"CHANGELOG.md: add the commands {missing}"


def test_readme_counts_the_sources() -> None:
    general = {"generic", "generic-basic", "generic-token", "github"}  # github is a kind of signature to many
    systems = {folder.parent.name for folder in ROOT.glob("mappings/*/mapping.yaml")} - general
    others = {name.partition("-")[0] for name in systems} - {"stripe"}
    assert f"{len(others)} other systems and four general kinds of senders" in text_of(README)
