"""new: a folder for a source that passes check and test at once, guessed or copied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import PAID, Run, change

EVENT = {
    "event_id": "ord-1", "topic": "order.paid", "occurred": 1_763_890_200,
    "order": {"id": 7, "customer": {"id": "c_1", "email": "Jane@Example.com", "city": "Rome"}},
}  # fmt: skip


@pytest.fixture
def event(tmp_path: Path) -> Path:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(EVENT))
    return file


def usable(run: Run, name: str) -> None:
    assert run("check").output.startswith("No problems in ")
    result = run("test", name)
    assert (result.exit_code, "FAIL" in result.output) == (0, False)
    assert "no tests" not in result.output


class TestFrom:
    @pytest.fixture(autouse=True)
    def _in_the_shops_folder(self, shop: Path) -> None:
        assert shop

    def test_the_folder_passes_check_and_test_at_once(self, event: Path, run: Run) -> None:
        result = run("new", "my-shop", "--from", str(event))
        assert result.exit_code == 0, result.output
        usable(run, "my-shop")
        folder = Path("mappings/my-shop")
        assert (folder / "examples/order.paid.json").read_bytes() == event.read_bytes()
        mapping = (folder / "mapping.yaml").read_text()
        assert "secrets: [MY_SHOP_WEBHOOK_SECRET, MY_SHOP_WEBHOOK_SECRET_OLD]" in mapping
        assert "my_shop_customer: order.customer.id" in mapping
        assert "expect: {city: Rome}" in mapping

    def test_says_what_was_guessed_why_and_what_to_do_next(self, event: Path, run: Run) -> None:
        shown = [
            " ".join(line.split()) for line in run("new", "my-shop", "--from", str(event)).output.splitlines()
        ]
        assert shown[0] == "Made mappings/my-shop: README.md, mapping.yaml, examples/order.paid.json"
        assert (
            "event.time occurred as unix_seconds 'occurred' looks like seconds since 1970 (2025-11-23)"
            in shown
        )
        assert "set.city order.customer.city 'order.customer.city' is a text with the field's name" in shown
        checks = 'check what is marked "guess", and write how the sender signs.'
        assert shown[-6:] == [
            "It has no problems, and 1 test that passes.",
            "Next:",
            f"1. Read mappings/my-shop/mapping.yaml: {checks}",
            "2. Replace names and addresses of people in mappings/my-shop/examples/order.paid.json.",
            "3. leadwire try my-shop mappings/my-shop/examples/order.paid.json --verbose",
            "4. Set MY_SHOP_WEBHOOK_SECRET, and give the sender the address https://YOUR-HOST/hooks/my-shop.",
        ]

    def test_the_readme_has_every_section_and_says_what_is_not_known(self, event: Path, run: Run) -> None:
        run("new", "my-shop", "--from", str(event))
        text = Path("mappings/my-shop/README.md").read_text()
        headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
        assert headings == [
            "Set up", "Events to choose", "Test it", "What My shop does", "Changing the secret",
            "Where the examples come from",
        ]  # fmt: skip
        assert "| retries | not known yet |" in text
        assert "`leadwire send my-shop mappings/my-shop/examples/order.paid.json`" in text

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("a.json", "{}"),
            ("a.json", "[]"),
            ("a.json", "[{}, 1]"),
            ("a.json", '{"data": {"path_of_the_email_address": ""}}'),
            (
                "a.xml",
                "<order_paid><buyer><email>jane@example.com</email><city>Rome</city></buyer></order_paid>",
            ),
            ("a.form", "type=order.paid&customer[email]=jane%40example.com&amount=12.50"),
        ],
    )
    def test_a_payload_that_tells_little_gives_a_folder_too(
        self, tmp_path: Path, run: Run, file: str, content: str
    ) -> None:
        (tmp_path / file).write_text(content)
        assert run("new", "1st_one", "--from", file).exit_code == 0
        usable(run, "1st_one")

    def test_a_payload_that_cannot_be_read(self, tmp_path: Path, run: Run) -> None:
        (tmp_path / "a.json").write_text("{")
        result = run("new", "acme", "--from", "a.json")
        assert (result.exit_code, result.stderr.startswith("leadwire: a.json: The body is not JSON: ")) == (
            1,
            True,
        )
        assert not Path("mappings/acme").exists()


class TestLike:
    def test_a_copy_has_its_own_name_title_and_settings(self, shop: Path, run: Run) -> None:
        change(
            shop / "mapping.yaml", "  email: email\n", "  email: email\n  keys: {shop_buyer: shop_buyer}\n"
        )
        (shop / "README.md").write_text(
            "# A shop\n\nPaste `https://YOUR-HOST/hooks/shop`, set `SHOP_TOKEN`, then\n"
            "`leadwire send shop mappings/shop/examples/paid.json`.\n"
        )
        result = run("new", "shop-eu", "--like", "shop")
        assert result.exit_code == 0, result.output
        usable(run, "shop-eu")
        folder = Path("mappings/shop-eu")
        mapping = (folder / "mapping.yaml").read_text()
        assert "source: shop-eu\ntitle: A shop (shop-eu)\n" in mapping
        assert "secrets: [SHOP_EU_TOKEN, SHOP_EU_TOKEN_OLD]" in mapping
        assert "keys: {shop_eu_buyer: shop_buyer}" in mapping
        assert (folder / "README.md").read_text() == (
            "# A shop (shop-eu)\n\nPaste `https://YOUR-HOST/hooks/shop-eu`, set `SHOP_EU_TOKEN`, then\n"
            "`leadwire send shop-eu mappings/shop-eu/examples/paid.json`.\n"
        )
        assert json.loads((folder / "examples/paid.json").read_text()) == PAID

    def test_says_what_to_do_next(self, shop: Path, run: Run) -> None:
        assert shop
        assert run("new", "shop2", "--like", "shop").output.splitlines() == [
            "Made mappings/shop2: mapping.yaml, examples/paid.json",
            "It has no problems, and 1 test that passes.",
            "Next:",
            "  1. Read mappings/shop2/mapping.yaml and README.md, and change what is different for shop2.",
            "  2. leadwire try shop2 mappings/shop2/examples/paid.json --verbose",
            "  3. Set SHOP2_TOKEN, and give the sender the address https://YOUR-HOST/hooks/shop2.",
        ]

    def test_a_copy_fetches_with_settings_of_its_own(self, shop: Path, run: Run) -> None:
        fetch = (
            "fetch: {base: https://x.example, path: '/{id}', auth: {bearer: SHOP_API_KEY}, when: {id: no}}"
        )
        change(shop / "mapping.yaml", "lead:\n", f"{fetch}\nlead:\n")
        assert run("new", "shop-eu", "--like", "shop").exit_code == 0
        assert "auth: {bearer: SHOP_EU_API_KEY}" in Path("mappings/shop-eu/mapping.yaml").read_text()

    def test_a_source_with_problems_is_not_copied(self, shop: Path, run: Run) -> None:
        change(shop / "mapping.yaml", "city: city", "cty: city")
        result = run("new", "shop2", "--like", "shop")
        assert result.exit_code == 1
        assert result.stderr.startswith("leadwire: mappings/shop/mapping.yaml:17: ")
        assert not Path("mappings/shop2").exists()


class TestUsage:
    @pytest.mark.usefixtures("shop")
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["shop", "--like", "shop"], "mappings/shop is there already; choose another name or remove it"),
            (["Shop!", "--like", "shop"], "'Shop!' cannot be a source's name: use small letters"),
            (["acme"], "give either --like SOURCE or --from EVENT"),
            (["acme", "--like", "shop", "--from", "x.json"], "give either --like SOURCE or --from EVENT"),
            (["acme", "--like", "shp"], "there is no source named 'shp'; there are: shop"),
        ],
    )
    def test_wrong_usage(self, run: Run, arguments: list[str], said: str) -> None:
        result = run("new", *arguments)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())

    def test_nothing_is_left_behind_or_overwritten(self, shop: Path, event: Path, run: Run) -> None:
        before = (shop / "mapping.yaml").read_bytes()
        assert run("new", "shop", "--from", str(event)).exit_code == 2
        assert (shop / "mapping.yaml").read_bytes() == before
        assert [path.name for path in shop.parent.iterdir()] == ["shop"]
