"""fields.yaml, entry by entry: what is good, what is broken, and one file over another."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.core.errors import Problem
from integration.lead.catalogue import Catalogue, ContactNames, Field, PortalProperty
from integration.lead.fields_file import (
    CatalogueError,
    FieldsFile,
    catalogue_of,
    laid_over,
    load_catalogue,
    read_fields,
    repaired,
)

SHOWN_AS = "mappings/fields.yaml"
WHOLE = """\
version: 1
fields:
  plan: {type: text, label: The plan}
  seats: {type: integer}
portal:
  tier: {type: enumeration, options: [gold, 7], external_options: true}
  created: {type: datetime, read_only: true}
  city: {type: string}
contacts:
  properties: {plan: plan__c}
  unique: {guid: old_guid}
"""


def read(text: str) -> FieldsFile:
    return read_fields(text.encode(), SHOWN_AS)


def told(file: FieldsFile) -> list[str]:
    return [str(problem).removeprefix(SHOWN_AS) for problem in file.problems]


class TestRead:
    def test_has_every_entry_by_its_path(self) -> None:
        assert read(WHOLE) == FieldsFile(
            {
                ("fields", "plan"): Field("plan", "text", "The plan", custom=True),
                ("fields", "seats"): Field("seats", "integer", "seats", custom=True),
                ("portal", "tier"): PortalProperty(
                    "tier", "enumeration", ("gold", "7"), external_options=True
                ),
                ("portal", "created"): PortalProperty("created", "datetime", read_only=True),
                ("portal", "city"): PortalProperty("city", "string"),
                ("contacts", "properties", "plan"): "plan__c",
                ("contacts", "unique", "guid"): "old_guid",
            }
        )

    def test_a_mistake_costs_its_entry_alone_and_says_where_it_stands(self) -> None:
        file = read(
            WHOLE.replace("type: integer", "type: int")
            .replace("{type: string}", "{}")
            .replace("plan__c", "7")
            .replace("old_guid", "''")
        )
        assert file.is_usable
        assert file.broken == {
            ("fields", "seats"): f"{SHOWN_AS}:4",
            ("portal", "city"): f"{SHOWN_AS}:8",
            ("contacts", "properties", "plan"): f"{SHOWN_AS}:10",
            ("contacts", "unique", "guid"): f"{SHOWN_AS}:11",
        }
        assert set(file.entries) == {("fields", "plan"), ("portal", "tier"), ("portal", "created")}
        assert [line.partition(": ")[0] for line in told(file)] == [":4", ":8", ":10", ":11"]

    def test_two_entries_of_one_name_are_a_mistake_of_that_entry(self) -> None:
        file = read("version: 1\nfields:\n  plan: {type: text}\n  plan: {type: integer}\n")
        assert file.is_usable
        assert set(file.broken) == {("fields", "plan")}
        assert told(file)[0].startswith(":4: ")

    def test_a_field_that_every_lead_has_or_nobody_may_set_costs_itself(self) -> None:
        file = read("version: 1\nfields:\n  plan: {type: text}\n  city: {type: text}\n  guid: {type: text}\n")
        assert set(file.entries) == {("fields", "plan")}
        assert file.broken == {("fields", "city"): f"{SHOWN_AS}:4", ("fields", "guid"): f"{SHOWN_AS}:5"}
        assert told(file)[0] == ":4: fields.city: city is a field of every lead (remove it here)"
        assert told(file)[1].startswith(":5: fields.guid: guid cannot be set: ")
        assert told(file)[1].endswith(" (remove it here)")

    @pytest.mark.parametrize("section", ["portal: 7", "contacts: 7", "contacts: {properties: 7}", "other: 7"])
    def test_a_section_that_is_none_costs_that_section_alone(self, section: str) -> None:
        file = read(f"version: 1\nfields:\n  plan: {{type: text}}\n{section}\n")
        assert file.is_usable
        assert (set(file.entries), file.broken) == ({("fields", "plan")}, {})
        assert len(file.problems) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "version: 2\nfields: {}\n",
            "fields: {}\n",
            "version: 1\n",
            "version: 1\nfields: 7\n",
            "version: 1\nfields: [plan]\n",
            "- version\n",
            "text\n",
            "version: 1\nfields: [\n",
        ],
    )
    def test_a_file_that_cannot_be_read_as_a_whole_is_not_usable(self, text: str) -> None:
        file = read(text)
        assert (file.is_usable, file.entries, file.broken) == (False, {}, {})
        assert len(file.problems) == 1

    def test_problems_come_in_the_order_of_their_lines(self) -> None:
        file = read("version: 2\nfields:\n  city: {type: text}\n  x: {type: y}\n")
        assert [line.split(":")[1] for line in told(file)] == ["1", "3", "4"]

    @pytest.mark.parametrize(
        "text", ["version: 1\nfields: {}\nportal:\n", "version: 1\nfields: {}\ncontacts:\n"]
    )
    def test_a_section_without_anything_is_a_mistake_of_its_own(self, text: str) -> None:
        file = read(text)
        assert (file.is_usable, file.entries, len(file.problems)) == (True, {}, 1)


class TestOver:
    def test_what_both_say_the_upper_one_says(self) -> None:
        upper = read("version: 1\nfields:\n  plan: {type: integer}\n")
        both = laid_over(upper, read(WHOLE))
        assert both.entries["fields", "plan"] == Field("plan", "integer", "plan", custom=True)
        assert both.entries["fields", "seats"] == Field("seats", "integer", "seats", custom=True)
        assert len(both.entries) == 7

    def test_a_mistake_above_hides_what_is_below_and_a_good_entry_above_cures_a_mistake_below(self) -> None:
        good = read("version: 1\nfields:\n  plan: {type: integer}\n")
        bad = read("version: 1\nfields:\n  plan: {type: int}\n")
        above = laid_over(bad, good)
        assert (above.entries, above.broken) == ({}, {("fields", "plan"): f"{SHOWN_AS}:3"})
        below = laid_over(good, bad)
        assert (set(below.entries), below.broken) == ({("fields", "plan")}, {})

    def test_the_place_of_a_mistake_in_both_is_the_upper_ones(self) -> None:
        one = read_fields(b"version: 1\nfields:\n  plan: {type: int}\n", "upper.yaml")
        other = read_fields(b"version: 1\nfields:\n  plan: {type: txt}\n", "lower.yaml")
        both = laid_over(one, other)
        assert both.broken == {("fields", "plan"): "upper.yaml:3"}
        assert [str(problem).partition(":")[0] for problem in both.problems] == ["lower.yaml", "upper.yaml"]

    def test_is_usable_only_if_both_are(self) -> None:
        good, bad = read(WHOLE), read("")
        assert laid_over(good, good).is_usable
        assert not laid_over(good, bad).is_usable
        assert not laid_over(bad, good).is_usable


class TestRepaired:
    before = read(WHOLE)

    def test_what_went_wrong_is_as_it_was(self) -> None:
        now = read(WHOLE.replace("type: integer", "type: int").replace("{type: string}", "{}"))
        assert repaired(now, self.before) == FieldsFile(self.before.entries, {}, now.problems)

    def test_a_field_that_was_lost_stays_and_another_entry_goes(self) -> None:
        now = read("version: 1\nfields:\n  seats: {type: decimal}\n")
        after = repaired(now, self.before)
        assert set(after.entries) == {("fields", "plan"), ("fields", "seats")}
        assert after.entries["fields", "seats"] == Field("seats", "decimal", "seats", custom=True)

    def test_a_file_that_is_not_usable_stays_so(self) -> None:
        after = repaired(read(""), self.before)
        assert not after.is_usable
        assert len(after.problems) == 1
        assert set(after.entries) == {("fields", "plan"), ("fields", "seats")}


class TestCatalogue:
    def test_has_what_the_file_says(self) -> None:
        catalogue = catalogue_of(read(WHOLE))
        assert catalogue.fields["plan"] == Field("plan", "text", "The plan", custom=True)
        assert len(catalogue.fields) == len(Catalogue().fields) + 2
        assert catalogue.contacts == ContactNames({"plan": "plan__c"}, {"guid": "old_guid"})
        assert set(catalogue.portal) == {"tier", "created", "city"}
        assert catalogue.broken == {}

    def test_tells_of_a_field_that_is_declared_with_a_mistake_where_that_is(self) -> None:
        text = WHOLE.replace("type: integer", "type: int").replace("{type: string}", "{}")
        catalogue = catalogue_of(read(text))
        assert catalogue.broken == {"seats": f"{SHOWN_AS}:4"}, "the other is no field"
        assert catalogue.field_problem("seats") == (
            f"seats is declared with a mistake at {SHOWN_AS}:4; fix it there"
        )

    def test_of_nothing_has_nothing_of_anybodys_own(self) -> None:
        catalogue = Catalogue()
        assert (catalogue.contacts, catalogue.portal, catalogue.broken) == (ContactNames({}, {}), {}, {})


class TestLoaded:
    def test_a_file_without_problems_is_a_catalogue(self, tmp_path: Path) -> None:
        file = tmp_path / "fields.yaml"
        file.write_text(WHOLE)
        catalogue = load_catalogue(file, SHOWN_AS)
        assert catalogue.contacts.unique == {"guid": "old_guid"}
        assert catalogue.portal["tier"].options == ("gold", "7")

    def test_a_file_with_one_is_none(self, tmp_path: Path) -> None:
        file = tmp_path / "fields.yaml"
        file.write_text(WHOLE.replace("type: integer", "type: int"))
        with pytest.raises(CatalogueError, match=f"^{SHOWN_AS}:4: ") as caught:
            load_catalogue(file, SHOWN_AS)
        assert len(caught.value.problems) == 1

    def test_a_file_that_cannot_be_read_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(CatalogueError) as caught:
            load_catalogue(tmp_path, SHOWN_AS)
        assert caught.value.problems == (
            Problem(SHOWN_AS, "", "cannot be read: Is a directory", "check that it is there"),
        )
        assert str(caught.value) == (f"{SHOWN_AS}: cannot be read: Is a directory (check that it is there)")

    def test_nothing_is_read_where_nothing_is(self, tmp_path: Path) -> None:
        assert load_catalogue(tmp_path / "none.yaml", SHOWN_AS).fields == Catalogue().fields
