"""A folder of mappings, a database, and the command line over both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from integration.cli import main
from integration.store.engine import Store
from integration.store.upgrade import upgrade

MAPPING = """\
version: 1
source: shop
title: A shop
verify: {scheme: token, header: X-Token, secrets: [SHOP_TOKEN, SHOP_TOKEN_OLD]}
event:
  id: id
  type: type
  time: {from: at, as: unix_seconds}
lead:
  guid: guid
  email: email
rules:
  - name: paid
    events: [paid]
    set:
      closedAt: {from: at, as: unix_seconds, write: earliest}
      city: city
      score: {from: score}
tests:
  - name: a payment closes the lead
    given: examples/paid.json
    expect: {closedAt: "1700000000000", city: Rome}
"""
PAID = {"id": "evt_1", "type": "paid", "at": 1_700_000_000, "guid": "8a41", "city": "Rome"}

Run = Callable[..., Result]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `mappings/shop` with a mapping and an example; it is the present folder's only source."""
    folder = tmp_path / "mappings" / "shop"
    (folder / "examples").mkdir(parents=True)
    (folder / "mapping.yaml").write_text(MAPPING)
    (folder / "examples" / "paid.json").write_text(json.dumps(PAID))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOP_TOKEN", raising=False)
    return folder


@pytest.fixture
def shop_store(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The database of the shop's Leadwire, which DATABASE_URL names."""
    url = f"sqlite:///{shop.parent.parent}/shop.db"
    monkeypatch.setenv("DATABASE_URL", url)
    store = Store(url)
    upgrade(store)
    yield store
    store.dispose()


@pytest.fixture
def run() -> Run:
    """Run `leadwire` with these arguments, in this process."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(main, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def lines(text: str) -> list[str]:
    """The lines with something on them, spaces at their ends taken off."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def change(file: Path, old: str, new: str) -> None:
    """Edit a file that holds `old`."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
