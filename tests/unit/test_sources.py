"""Every source folder is whole: README, rules with tests, examples that are used, no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.authoring.rehearse import rehearse, run_test
from integration.cli.payloads import answer_from_file, request_from_file
from integration.config.sources import Configuration, Source, load_configuration
from integration.mapping import MappingTest
from tests.docs_tables import FACTS, ROOT, source_folders, vendor_facts

LIMIT = 1_048_576
FOLDERS = source_folders()
SECTIONS = (
    "Set up",
    "Events to choose",
    "Test it",
    r"What .+ do(?:es)?",
    r"(?:Changing|Rolling) the .+",
    "Where the (?:facts and )?examples come from",
)
SECRET_LOOKING = re.compile(
    r"whsec_[A-Za-z0-9+/]{12}|pdl_ntfset_[A-Za-z0-9]{8}|polar_whs_[A-Za-z0-9]{8}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{8}|shp(?:at|ss)_[A-Za-z0-9]{8}|gh[pousr]_[A-Za-z0-9]{16}"
    r"|-----BEGIN|(?i:\b(?:basic|bearer) [a-z0-9+/]{20})"
)

each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return load_configuration(ROOT / "mappings", {})


def source_in(configuration: Configuration, folder: Path) -> Source:
    source = configuration.sources[folder.name]
    assert isinstance(source, Source), source
    return source


def files_of(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file())


@each_folder
def test_a_readme_has_all_sections_in_order(folder: Path) -> None:
    headings = re.findall(r"^## (.+)$", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    found = [
        next((i for i, heading in enumerate(headings) if re.fullmatch(section, heading)), -1)
        for section in SECTIONS
    ]

    assert -1 not in found, dict(zip(SECTIONS, found, strict=True))
    assert found == sorted(found), headings


@each_folder
def test_a_readme_says_what_the_vendor_does(folder: Path) -> None:
    facts = vendor_facts(folder)

    assert [name for name in facts if name in FACTS] == list(FACTS)


@each_folder
def test_a_readme_names_the_settings(folder: Path, configuration: Configuration) -> None:
    source = source_in(configuration, folder)
    text = (folder / "README.md").read_text(encoding="utf-8")
    fetching = source.mapping.fetch.settings if source.mapping.fetch else ()

    assert [name for name in (source.mapping.verify.secrets[0], *fetching) if name not in text] == []


@each_folder
def test_a_mapping_has_no_problems_and_its_tests_pass(folder: Path, configuration: Configuration) -> None:
    source = source_in(configuration, folder)

    results = [
        run_test(
            configuration,
            source,
            test,
            request_from_file(source, test.given, test.headers, f"https://hooks.example.com/?{test.query}"),
            max_body_bytes=LIMIT,
            fetched=answer_from_file(source, test.fetched),
        )
        for test in source.mapping.tests
    ]

    assert results != []
    assert [result for result in results if result.failure or result.differences] == []


@each_folder
def test_every_rule_is_shown_by_an_example(folder: Path, configuration: Configuration) -> None:
    source = source_in(configuration, folder)

    shown = {rule for test in source.mapping.tests for rule in rules_in(configuration, source, test)}

    assert [rule.name for rule in source.mapping.rules if rule.name not in shown] == []


def rules_in(configuration: Configuration, source: Source, test: MappingTest) -> Iterator[str]:
    """The rules that set a field in this test."""
    request = request_from_file(source, test.given, test.headers, f"https://hooks.example.com/?{test.query}")
    fetched = answer_from_file(source, test.fetched)
    done = rehearse(
        configuration, source, request, max_body_bytes=LIMIT, position=test.position, fetched=fetched
    )
    return (change.rule for event in done.events for change in event.changes)


@each_folder
def test_every_example_with_an_event_is_used_by_a_test(folder: Path, configuration: Configuration) -> None:
    source = source_in(configuration, folder)
    used = {file.resolve() for test in source.mapping.tests for file in (test.given, test.fetched) if file}
    left = [file for file in files_of(folder / "examples") if file.resolve() not in used]

    assert [file.name for file in left if has_event(configuration, source, file)] == []


def has_event(configuration: Configuration, source: Source, file: Path) -> bool:
    """Whether a payload is more than a ping or handshake."""
    request = request_from_file(source, file, {}, "https://hooks.example.com/")
    return bool(rehearse(configuration, source, request, max_body_bytes=LIMIT).events)


@each_folder
def test_no_file_holds_what_looks_like_a_secret(folder: Path) -> None:
    found = {file.name: SECRET_LOOKING.search(file.read_text(encoding="utf-8")) for file in files_of(folder)}

    assert {name: match[0] for name, match in found.items() if match} == {}


@each_folder
def test_the_table_of_sources_has_a_row(folder: Path) -> None:
    assert f"](../mappings/{folder.name}/README.md) | `{folder.name}` |" in (
        ROOT / "docs" / "sources.md"
    ).read_text(encoding="utf-8")
