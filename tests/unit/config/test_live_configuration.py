"""The last good configuration stays on: saving a mistake changes nothing but a warning."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.config.configuration import AnySource
from integration.config.folders import FIELDS, Origin
from integration.config.sources import (
    BrokenSource,
    Configuration,
    HeldSource,
    Source,
    Sources,
    UnsetSource,
    load_configuration,
)
from integration.config.versions import GivenVersions, Version

ENVIRON = {"SHOP_TOKEN": "opensesame"}
MAPPING = """\
version: 1
source: shop
verify: {scheme: token, header: X-Token, secrets: [SHOP_TOKEN]}
event: {id: id, type: type}
lead: {email: email}
rules:
  - name: paid
    events: [paid]
    set:
      city: city
      plan: plan
"""
FIELDS_FILE = "version: 1\nfields:\n  plan: {type: text}\n  seats: {type: integer}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mappings"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop/mapping.yaml").write_text(MAPPING)
    (folder / "fields.yaml").write_text(FIELDS_FILE)
    return folder


def rewritten(file: Path, text: str) -> None:
    """Write a file so that a look is sure to notice, however fast the test is."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(before + 1_000_000, before + 1_000_000))


def version_of(source: AnySource | None) -> str:
    assert isinstance(source, Source), source
    return source.mapping.version


def kept(sources: Sources) -> GivenVersions:
    """What another process finds of what this one has good."""
    return GivenVersions({version.name: [Version(version.name, version.text, 5)] for version in sources.good})


MISTAKES = [
    "",
    "version: 1\n",
    MAPPING[: len(MAPPING) // 2],
    MAPPING.replace("city: city", "cty: city"),
    MAPPING.replace("source: shop", "source: shp"),
    MAPPING.replace("header: X-Token", "headr: X-Token"),
    MAPPING.replace("header: X-Token", "header: X, query: t"),
    MAPPING + "rules: []\n",
    "\tversion: 1",
]


@pytest.mark.parametrize("text", MISTAKES)
def test_a_saved_mistake_changes_nothing_but_a_warning(folder: Path, text: str) -> None:
    sources = Sources(folder, ENVIRON)
    good = version_of(sources.get("shop"))
    rewritten(folder / "shop/mapping.yaml", text)
    sources.refresh()
    assert version_of(sources.get("shop")) == good
    (mistake,) = sources.current.mistakes.values()
    assert mistake.name == "shop"
    assert all("mappings/shop/mapping.yaml" in problem.place for problem in mistake.problems)
    assert [*sources.current.problems] == [*mistake.problems]


@pytest.mark.parametrize("text", MISTAKES)
def test_a_restart_and_a_second_machine_go_on_with_the_version_that_was_kept(folder: Path, text: str) -> None:
    first = Sources(folder, ENVIRON)
    versions = kept(first)
    rewritten(folder / "shop/mapping.yaml", text)
    again = Sources(folder, ENVIRON, versions=versions)
    assert version_of(again.get("shop")) == version_of(first.get("shop"))
    assert again.current.mistakes["shop"].goes_on == (
        "The last good version, of 1970-01-01 00:00:00 UTC, goes on."
    )


def test_of_the_versions_that_were_kept_the_newest_that_compiles_goes_on(folder: Path) -> None:
    newer = MAPPING.replace("[paid]", "[paid, refunded]")
    unfit = MAPPING.replace("city: city", "no_such_field: city")
    texts = [Version("shop", unfit, 9), Version("shop", newer, 8), Version("shop", MAPPING, 7)]
    rewritten(folder / "shop/mapping.yaml", "")
    sources = Sources(folder, ENVIRON, versions=GivenVersions({"shop": texts}))
    assert sources.current.mistakes["shop"].since == 8
    source = sources.get("shop")
    assert isinstance(source, Source)
    assert source.mapping.rules[0].events == ("paid", "refunded")


def test_a_fixed_file_is_taken_at_once_and_a_good_file_needs_no_version(folder: Path) -> None:
    sources = Sources(folder, ENVIRON)
    rewritten(folder / "shop/mapping.yaml", "version: 1\n")
    sources.refresh()
    rewritten(folder / "shop/mapping.yaml", MAPPING + "# changed\n")
    assert sources.refresh()
    assert sources.current.mistakes == {}
    assert Version("shop", MAPPING + "# changed\n") in sources.good


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(saves=st.lists(st.sampled_from([*MISTAKES, MAPPING, MAPPING + "# b\n"]), max_size=6))
def test_whatever_is_saved_the_version_in_use_is_the_last_good_one(
    saves: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("saves") / "mappings"
    (folder / "shop").mkdir(parents=True)
    (folder / "fields.yaml").write_text(FIELDS_FILE)
    rewritten(folder / "shop/mapping.yaml", MAPPING)
    sources = Sources(folder, ENVIRON)
    last_good = MAPPING
    for text in saves:
        rewritten(folder / "shop/mapping.yaml", text)
        sources.refresh()
        last_good = last_good if text in MISTAKES else text
        restarted = Sources(
            folder, ENVIRON, versions=GivenVersions({"shop": [Version("shop", last_good, 3)]})
        )
        alone = load_configuration(folder, ENVIRON)
        assert ("shop" in sources.current.mistakes) == (text in MISTAKES) == ("shop" in alone.mistakes)
        assert version_of(sources.get("shop")) == version_of(restarted.get("shop"))
        assert (text in MISTAKES) or version_of(alone.sources["shop"]) == version_of(sources.get("shop"))


# fields.yaml


def settable(configuration: Configuration, name: str) -> bool:
    return configuration.catalogue.field_problem(name) is None


@pytest.mark.parametrize(
    "text",
    ["", "version: 1\n", "\t", FIELDS_FILE.replace("plan: {type: text}", "plan: {type: txt}"),
     FIELDS_FILE.replace("  plan: {type: text}\n", ""), FIELDS_FILE + "  plan: {type: text}\n"],
)  # fmt: skip
def test_a_mistake_in_the_fields_costs_no_source_and_no_field(folder: Path, text: str) -> None:
    sources = Sources(folder, ENVIRON)
    versions, good = kept(sources), version_of(sources.get("shop"))
    rewritten(folder / "fields.yaml", text)
    sources.refresh()
    restarted = Sources(folder, ENVIRON, versions=versions)
    for now in (sources, restarted):
        assert version_of(now.get("shop")) == good
        assert settable(now.current, "plan")
        assert settable(now.current, "seats")
        assert now.current.mistakes


def test_a_bad_field_costs_that_field_alone_where_no_version_is_known(folder: Path) -> None:
    rewritten(folder / "fields.yaml", FIELDS_FILE.replace("plan: {type: text}", "plan: {type: txt}"))
    (folder / "store").mkdir()
    (folder / "store/mapping.yaml").write_text(
        MAPPING.replace("source: shop", "source: store").replace("plan: plan", "seats: seats")
    )
    found = load_configuration(folder, ENVIRON)
    assert isinstance(found.sources["store"], Source)
    assert isinstance(found.sources["shop"], HeldSource)
    (problem,) = found.mistakes["shop"].problems
    assert str(problem) == (
        "mappings/shop/mapping.yaml:11: rules[0].set.plan: plan is declared with a mistake at"
        " mappings/fields.yaml:3; fix it there"
    )
    assert settable(found, "seats")


def test_a_mistake_in_the_name_of_a_property_leaves_it_as_it_was(folder: Path) -> None:
    named = FIELDS_FILE + "contacts:\n  properties:\n    plan: subscription_plan\n"
    rewritten(folder / "fields.yaml", named)
    sources = Sources(folder, ENVIRON)
    rewritten(folder / "fields.yaml", named.replace("subscription_plan", "7"))
    sources.refresh()
    assert sources.current.catalogue.contacts.properties == {"plan": "subscription_plan"}
    rewritten(folder / "fields.yaml", FIELDS_FILE)
    sources.refresh()
    assert sources.current.catalogue.contacts.properties == {}


def test_fields_that_are_gone_are_a_mistake(folder: Path) -> None:
    sources = Sources(folder, ENVIRON)
    (folder / "fields.yaml").unlink()
    sources.refresh()
    (problem,) = sources.current.mistakes[FIELDS].problems
    assert str(problem).startswith("mappings/fields.yaml: is gone (bring it back; if nothing")
    assert settable(sources.current, "plan")


# What does not decide, what is gone, what is held


def test_tests_and_examples_never_decide_about_receiving(folder: Path) -> None:
    tests = "tests:\n  - {name: a, given: examples/gone.json, expect: {plann: x}, extra: 1}\n  - 7\n"
    rewritten(folder / "shop/mapping.yaml", MAPPING + tests)
    found = load_configuration(folder, ENVIRON)
    assert isinstance(found.sources["shop"], Source)
    assert found.mistakes == {}
    assert [problem.path for problem in found.problems] == ["tests[0].extra", "tests[1]"]


def test_a_folder_that_is_gone_is_gone_and_told_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    sources = Sources(folder, ENVIRON)
    sources.tell()
    (folder / "shop/mapping.yaml").unlink()
    (folder / "shop").rmdir()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            sources.refresh()
            sources.tell()
    assert sources.get("shop") is None
    assert [record.message for record in caplog.records] == [
        "shop is gone: its folder was removed; its URL answers 404"
    ]


def test_a_file_that_is_gone_from_its_folder_is_a_mistake(folder: Path) -> None:
    sources = Sources(folder, ENVIRON)
    versions = kept(sources)
    (folder / "shop/mapping.yaml").unlink()
    sources.refresh()
    for now in (sources, Sources(folder, ENVIRON, versions=versions)):
        assert isinstance(now.get("shop"), Source)
        assert "shop" in now.current.mistakes


def test_with_no_good_version_at_all_requests_are_held_if_it_can_be_told_who_sends(folder: Path) -> None:
    rewritten(folder / "shop/mapping.yaml", MAPPING.replace("city: city", "cty: city"))
    held = load_configuration(folder, ENVIRON)
    assert isinstance(held.sources["shop"], HeldSource)
    assert not held.sources["shop"].missing_secrets
    rewritten(folder / "shop/mapping.yaml", MAPPING.replace("scheme: token", "scheme: tokn"))
    assert isinstance(load_configuration(folder, ENVIRON).sources["shop"], BrokenSource)


def test_each_mistake_is_logged_once_and_its_end_too(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    sources = Sources(folder, ENVIRON)
    with caplog.at_level(logging.INFO):
        for text in ("version: 1\n", MAPPING):
            rewritten(folder / "shop/mapping.yaml", text)
            for _ in range(3):
                sources.refresh()
                sources.recall()
                sources.tell()
    first, second = [record.message for record in caplog.records]
    assert first.startswith("mappings/shop/mapping.yaml:1: 'source' is missing")
    assert first.endswith("more: run `leadwire check`). The last good version goes on.")
    assert second == "What shop says now is in use"


# Layers


def test_a_folder_of_yours_replaces_the_shipped_one_and_may_switch_it_off(
    folder: Path, tmp_path: Path
) -> None:
    shipped = tmp_path / "shipped"
    for name in ("shop", "store", "mill"):
        (shipped / name).mkdir(parents=True)
        (shipped / name / "mapping.yaml").write_text(MAPPING.replace("source: shop", f"source: {name}"))
    (shipped / "fields.yaml").write_text(
        "version: 1\nfields:\n  plan: {type: integer}\n  deal: {type: text}\n"
    )
    (folder / "mill").mkdir()
    (folder / "mill/mapping.yaml").write_text("version: 1\nsource: mill\nenabled: false\n")
    found = load_configuration(folder, ENVIRON, shipped)
    assert found.origins == {"shop": Origin.OVER, "store": Origin.SHIPPED}
    assert found.off == ("mill",)
    assert "mill" not in found.sources
    assert found.catalogue.fields["plan"].type == "text"
    assert settable(found, "deal")
    assert found.problems == ()


def test_the_shipped_folder_itself_is_not_laid_over_itself(folder: Path) -> None:
    found = load_configuration(folder, ENVIRON, folder.parent / "shop/../mappings")
    assert found.origins == {"shop": Origin.YOURS}


def test_what_is_not_configured_is_not_compiled_until_it_is_wanted(folder: Path) -> None:
    sources = Sources(folder, {"OTHER_TOKEN": "x"}, only_configured=True)
    assert sources.get("shop") == UnsetSource("shop", ("SHOP_TOKEN",))
    assert isinstance(sources.ready_for(["shop"]).sources["shop"], Source)
    by_file = {"SHOP_TOKEN_FILE": str(folder / "token")}
    (folder / "token").write_text("t")
    assert isinstance(Sources(folder, by_file, only_configured=True).get("shop"), Source)


def test_a_half_written_file_is_a_mistake_and_not_a_source_that_was_never_set_up(folder: Path) -> None:
    sources = Sources(folder, ENVIRON, only_configured=True)
    versions = kept(sources)
    rewritten(folder / "shop/mapping.yaml", "version: 1\ntitle: A Shop\nsource: shop\n")
    sources.refresh()
    restarted = Sources(folder, ENVIRON, versions=versions, only_configured=True)
    assert version_of(sources.get("shop")) == version_of(restarted.get("shop"))


def test_only_what_changed_is_compiled_again(folder: Path) -> None:
    (folder / "store").mkdir()
    (folder / "store/mapping.yaml").write_text(MAPPING.replace("source: shop", "source: store"))
    sources = Sources(folder, ENVIRON)
    before = sources.get("shop"), sources.get("store")
    rewritten(folder / "store/mapping.yaml", MAPPING.replace("source: shop", "source: store") + "# b\n")
    rewritten(folder / "fields.yaml", FIELDS_FILE + "  more: {type: text}\n")
    sources.refresh()
    after = sources.get("shop"), sources.get("store")
    assert isinstance(before[0], Source)
    assert isinstance(after[0], Source)
    assert after[0].mapping is before[0].mapping
    assert version_of(after[1]) != version_of(before[1])
    assert settable(sources.current, "more")
    assert not sources.refresh()


def test_no_source_is_called_like_the_file_of_the_fields(folder: Path) -> None:
    (folder / "fields").mkdir()
    (folder / "fields/mapping.yaml").write_text(MAPPING.replace("source: shop", "source: fields"))
    found = load_configuration(folder, ENVIRON)
    assert [*found.sources] == ["shop"]
    (problem,) = found.problems
    assert str(problem) == (
        "mappings/fields/mapping.yaml: the folder's name cannot be a source's name (choose another: it stands"
        " for fields.yaml where sources are named)"
    )


GOOD_ENTRY, BAD_ENTRY = "{type: text}", "{type: txt}"
entry = st.sampled_from([GOOD_ENTRY, BAD_ENTRY, None])
fields_files = st.fixed_dictionaries({"a": entry, "b": entry, "c": entry})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(saves=st.lists(st.one_of(fields_files, st.just(None)), min_size=1, max_size=5))
def test_a_mistake_in_an_entry_costs_that_entry_and_takes_none_away_that_was_good(
    saves: list[dict[str, str | None] | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fields") / "mappings"
    folder.mkdir()
    rewritten(folder / "fields.yaml", "version: 1\nfields: {}\n")
    sources = Sources(folder, {})
    ever_good: set[str] = set()
    for save in saves:
        lines = [f"  {name}: {spec}\n" for name, spec in (save or {}).items() if spec]
        text = "version: 1\nfields:\n" + "".join(lines) if lines else "version: 1\nfields: {}\n"
        rewritten(folder / "fields.yaml", text if save is not None else "fields: [")
        sources.refresh()
        good = {name for name, spec in (save or {}).items() if spec == GOOD_ENTRY}
        bad = {name for name, spec in (save or {}).items() if spec == BAD_ENTRY}
        alone = load_configuration(folder, {})
        assert {name for name in "abc" if settable(alone, name)} == good
        assert bool(alone.mistakes) == bool(bad or save is None) == bool(sources.current.mistakes)
        usable = {name for name in "abc" if settable(sources.current, name)}
        assert usable >= good | (bad & ever_good)
        ever_good |= good
