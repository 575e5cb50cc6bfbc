"""The targets of the fuzzer hold on their seeds: they work, and the law that they check is kept."""

from __future__ import annotations

import random
import re
import subprocess
import sys

import pytest

from fuzz.message import chosen, read, write
from fuzz.mutation import mutated
from fuzz.targets import TARGETS
from tests.docs_tables import ROOT


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_of_a_target_keep_its_law(target: str) -> None:
    command = [sys.executable, "-m", "fuzz.replay", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)

    assert done.returncode == 0, done.stderr
    assert int(re.findall(r"^(\d+) inputs, no findings\.$", done.stdout)[0]) > 100


def test_a_message_is_read_as_it_was_written() -> None:
    data = write(["POST", "/hooks/shop?a=b"], {"x-one": "1", "content-type": "text/xml"}, b"\n\n<a/>")

    message = read(data)

    assert (message.word(0), message.word(1), message.word(2)) == ("POST", "/hooks/shop?a=b", "")
    assert message.headers == {"x-one": "1", "content-type": "text/xml"}
    assert message.body == b"\n\n<a/>"


def test_any_bytes_are_a_message_and_any_word_a_choice() -> None:
    chance = random.Random(1)
    for _ in range(200):
        message = read(chance.randbytes(60))
        assert chosen(message.word(0), ["a", "b"]) in {"a", "b"}


@pytest.mark.parametrize("target", ["mapping", "request"])
def test_mutations_keep_within_the_limit_and_mostly_change_the_input(target: str) -> None:
    seeds = list(TARGETS[target].seeds())
    mutants = [mutated(seed, 20_000, number, lambda data, _: data[::-1]) for number, seed in enumerate(seeds)]

    assert max(map(len, mutants)) <= 20_000
    assert sum(one != other for one, other in zip(seeds, mutants, strict=True)) > len(seeds) * 0.8
