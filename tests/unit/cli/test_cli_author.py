"""check, test, try: what authors of mapping files see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import MAPPING, PAID, Run, change, lines


def example(shop: Path, **values: Any) -> str:
    file = shop / "examples" / "other.json"
    file.write_text(json.dumps({**PAID, **values}))
    return str(file)


class TestCheck:
    @pytest.mark.usefixtures("shop")
    def test_no_problems(self, run: Run) -> None:
        result = run("check")
        assert (result.exit_code, result.output) == (0, "No problems in 1 source: shop.\n")

    def test_every_problem_at_once_and_which_sources_are_off(self, shop: Path, run: Run) -> None:
        change(shop / "mapping.yaml", "city: city", "cty: city")
        change(shop / "mapping.yaml", "write: earliest", "write: first")
        result = run("check")
        assert result.exit_code == 1
        first, second, end = result.output.splitlines()
        assert first.startswith("mappings/shop/mapping.yaml:16: rules[0].set.closedAt.write: ")
        assert second == (
            "mappings/shop/mapping.yaml:17: rules[0].set.cty: cty is not a field of a lead; "
            "did you mean city? If not, declare it in mappings/fields.yaml"
        ) or second.startswith("mappings/shop/mapping.yaml:17: rules[0].set.cty: ")
        assert end == "2 problems in 1 source. Not used as they are until they are fixed: shop."

    def test_another_folder(self, shop: Path, run: Run) -> None:
        (shop.parent).rename(shop.parent.parent / "elsewhere")
        assert run("check", "elsewhere").exit_code == 0
        (shop.parent.parent / "deep").mkdir()
        (shop.parent.parent / "elsewhere").rename(shop.parent.parent / "deep/maps")
        change(shop.parent.parent / "deep/maps/shop/mapping.yaml", "city: city", "cty: city")
        assert run("check", "deep/maps").output.startswith("deep/maps/shop/mapping.yaml:17: ")
        missing = run("check", "nowhere")
        assert missing.exit_code == 2
        assert "there is no source and no folder named 'nowhere'" in missing.stderr

    def test_one_source_by_its_name_or_its_folder(self, shop: Path, run: Run) -> None:
        other = shop.parent / "other"
        other.mkdir()
        (other / "mapping.yaml").write_text("version: 1\nsource: other\n")
        assert run("check").exit_code == 1
        assert run("check", "shop").output == "No problems in 1 source: shop.\n"
        assert run("check", str(shop)).output == "No problems in 1 source: shop.\n"
        found = run("check", "shop", "other")
        assert found.exit_code == 1
        assert {line.partition(":")[0] for line in found.output.splitlines()[:-1]} == {
            "mappings/other/mapping.yaml"
        }

    def test_contradictions_a_wrong_name_and_a_bad_field_are_all_told_in_one_run(
        self, shop: Path, run: Run
    ) -> None:
        (shop.parent / "fields.yaml").write_text(
            "version: 1\nfields:\n  plan: {type: txt}\n  seats: {type: text}\n"
        )
        file = shop / "mapping.yaml"
        verify = (
            "verify: {scheme: hmac, header: X-S, template: '{time}', tolerance: 5, secrets: [SHOP_TOKEN]}"
        )
        lines = ["version: 1", "source: shp", verify, *file.read_text().splitlines()]
        kept = [line for line in lines[3:] if not line.startswith(("version:", "source:", "verify:"))]
        file.write_text("\n".join([*lines[:3], *kept]))
        change(file, "city: city", "plan: plan\n      seats: seats\n      cty: city")
        change(file, "examples/paid.json", "examples/gone.json")
        told = run("check").output
        for expected in (
            "mappings/fields.yaml:3: fields.plan.type: text 'txt' is not known here",
            "mappings/shop/mapping.yaml:2: source: is 'shp', but the folder is 'shop' (write `source: shop`)",
            "mappings/shop/mapping.yaml:3: verify.template: '{time}' is not a placeholder (use {timestamp}, ",
            "mappings/shop/mapping.yaml:3: verify.tolerance: there is no timestamp to judge",
            "plan is declared with a mistake at mappings/fields.yaml:3; fix it there",
            "cty is not a field of a lead",
            "there is no file examples/gone.json",
        ):
            assert expected in told, told
        assert "seats" not in told

    def test_a_folder_without_a_source_is_a_problem(self, tmp_path: Path, run: Run) -> None:
        result = run("check", str(tmp_path))
        assert result.exit_code == 1
        assert result.output.splitlines()[0] == (
            f"{tmp_path}: holds no source (make one: a folder with a mapping.yaml; its name in small "
            "letters, digits, - and _)"
        )

    def test_json(self, shop: Path, run: Run) -> None:
        assert json.loads(run("check", "--json").output) == {"sources": ["shop"], "problems": []}
        change(shop / "mapping.yaml", "city: city", "cty: city")
        result = run("check", "--json")
        (problem,) = json.loads(result.output)["problems"]
        assert result.exit_code == 1
        assert (problem["place"], problem["path"]) == ("mappings/shop/mapping.yaml:17", "rules[0].set.cty")
        assert set(problem) == {"place", "path", "message", "cure"}


class TestTest:
    @pytest.mark.usefixtures("shop")
    def test_a_line_per_test(self, run: Run) -> None:
        result = run("test")
        assert result.exit_code == 0
        assert result.output == "ok    shop: a payment closes the lead\n1 test, all passed.\n"

    def test_a_failure_shows_each_field_expected_got_and_the_line_that_sets_it(
        self, shop: Path, run: Run
    ) -> None:
        change(shop / "mapping.yaml", "city: Rome}", "city: Oslo, zip: '00100'}")
        result = run("test", "shop")
        assert result.exit_code == 1
        heading, place, columns, rule, city, zip_code, end = lines(result.output)
        assert heading == "FAIL  shop: a payment closes the lead"
        assert place == "      mappings/shop/mapping.yaml:20: the fields that would be sent are others"
        assert columns.split() == ["field", "expected", "got", "mapping"]
        assert set(rule.strip()) == {"─"}
        assert city.split() == ["city", '"Oslo"', '"Rome"', "mappings/shop/mapping.yaml:17"]
        assert zip_code.split() == ["zip", '"00100"', "not", "sent", "no", "rule", "sets", "it"]
        assert end == "1 test, 1 failed."

    def test_json(self, shop: Path, run: Run) -> None:
        change(shop / "mapping.yaml", "city: Rome}", "zip: '00100'}")
        result = run("test", "--json")
        assert result.exit_code == 1
        assert json.loads(result.output) == {
            "tests": [
                {
                    "source": "shop",
                    "name": "a payment closes the lead",
                    "place": "mappings/shop/mapping.yaml:20",
                    "passed": False,
                    "failure": "the fields that would be sent are others",
                    "differences": [
                        {"field": "zip", "expected": "00100", "place": ""},
                        {"field": "city", "got": "Rome", "place": "mappings/shop/mapping.yaml:17"},
                    ],
                }
            ],
            "broken": {},
        }

    def test_a_source_without_tests_is_said(self, shop: Path, run: Run) -> None:
        (shop / "mapping.yaml").write_text(MAPPING.partition("tests:")[0])
        assert run("test").output == "-     shop: no tests\n0 tests, all passed.\n"

    @pytest.mark.usefixtures("shop")
    def test_an_unknown_source_is_wrong_usage(self, run: Run) -> None:
        result = run("test", "shp")
        assert result.exit_code == 2
        assert "there is no source named 'shp'; there are: shop" in result.stderr

    def test_a_source_with_problems_does_not_keep_the_others_from_being_tested(
        self, shop: Path, run: Run
    ) -> None:
        other = shop.parent / "other"
        other.mkdir()
        (other / "mapping.yaml").write_text("version: 1\nsource: other\nevnt: 1\n")
        result = run("test")
        told = result.output.splitlines()
        assert result.exit_code == 1
        assert told[0] == "FAIL  other: the mapping file has problems"
        assert "mappings/other/mapping.yaml:3: evnt: unknown key 'evnt'" in result.output
        assert told[-2:] == [
            "ok    shop: a payment closes the lead",
            "1 test, all passed. 1 mapping file cannot be used.",
        ]


class TestTry:
    def test_shows_the_event_its_fields_and_the_request_to_hubspot(self, shop: Path, run: Run) -> None:
        result = run("try", "shop", str(shop / "examples" / "paid.json"))
        assert result.exit_code == 0
        assert [" ".join(line.split()) for line in lines(result.output)] == [
            "Event evt_1",
            "type paid",
            "happened 2023-11-14 22:13:20 UTC",
            "lead guid 8a41",
            "field value write mapping",
            "─" * len(lines(result.output)[5].strip()),
            "closedAt 2023-11-14 22:13:20 earliest mappings/shop/mapping.yaml:16",
            'city "Rome" latest mappings/shop/mapping.yaml:17',
            "HubSpot would get, for the lead guid 8a41:",
            '{"closedAt": "1700000000000", "city": "Rome"}',
            "Nothing was stored or sent.",
        ]
        assert not list(Path().glob("var/*"))

    def test_an_ignored_event_says_why(self, shop: Path, run: Run) -> None:
        result = run("try", "shop", example(shop, type="seen"))
        assert result.exit_code == 0
        assert "  ignored: no rule for event type seen" in lines(result.output)

    def test_a_dead_letter_says_cause_and_cure_and_exits_1(self, shop: Path, run: Run) -> None:
        result = run("try", "shop", example(shop, score="many"))
        assert result.exit_code == 1
        dead, cure = lines(result.output)[4:6]
        assert dead.startswith(
            "  dead letter: mappings/shop/mapping.yaml:18: rule 'paid' sets score to 'many': "
        )
        assert cure == "  cure: give it as a whole number (`as: integer`)"

    def test_verbose_shows_every_step(self, shop: Path, run: Run) -> None:
        result = run("try", "shop", str(shop / "examples" / "paid.json"), "--verbose")
        assert "  mappings/shop/mapping.yaml:17: rules[0].set.city: 'Rome' (from city)" in lines(
            result.output
        )

    def test_json(self, shop: Path, run: Run) -> None:
        result = run("try", "shop", str(shop / "examples" / "paid.json"), "--json", "--verbose")
        found = json.loads(result.output)
        (event,) = found["events"]
        assert event.pop("steps")
        assert event["changes"][1] == {
            "field": "city",
            "value": "Rome",
            "write": "latest",
            "place": "mappings/shop/mapping.yaml:17",
            "rule": "paid",
        }
        assert found["leads"] == [
            {"identifiers": {"guid": "8a41"}, "would_send": {"closedAt": "1700000000000", "city": "Rome"}}
        ]
        assert {name: event[name] for name in ("id", "type", "occurred_at", "ignored", "dead")} == {
            "id": "evt_1",
            "type": "paid",
            "occurred_at": "2023-11-14T22:13:20Z",
            "ignored": None,
            "dead": None,
        }

    def test_a_form_by_its_ending_or_header(self, shop: Path, run: Run) -> None:
        form = shop / "examples" / "paid.form"
        form.write_text("id=evt_1&type=paid&at=1700000000&guid=8a41&city=Rome")
        assert run("try", "shop", str(form)).exit_code == 0
        other = form.rename(form.with_suffix(".txt"))
        header = "content-type=application/x-www-form-urlencoded"
        assert run("try", "shop", str(other), "--header", header).exit_code == 0
        assert run("try", "shop", str(other)).stderr.startswith(f"leadwire: {other}: ")

    def test_control_characters_of_a_payload_never_reach_the_terminal(self, shop: Path, run: Run) -> None:
        result = run("try", "shop", example(shop, id="evt\x1b[2J", guid="8a\x1b41", city="[red]x"))
        assert "\x1b" not in result.output
        assert '"[red]x"' in result.output

    @pytest.mark.usefixtures("shop")
    def test_a_file_that_is_not_there(self, run: Run) -> None:
        result = run("try", "shop", "nothing.json")
        assert (result.exit_code, result.stderr) == (
            1,
            "leadwire: nothing.json: cannot be read: No such file or directory\n",
        )

    def test_a_header_that_is_none_is_wrong_usage(self, shop: Path, run: Run) -> None:
        result = run("try", "shop", str(shop / "examples" / "paid.json"), "--header", "X-Token")
        assert result.exit_code == 2
        assert "'X-Token' is not NAME=VALUE" in result.stderr
