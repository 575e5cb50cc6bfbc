"""`python -m fuzz TARGET FOLDER [libFuzzer options]`: fuzz one target; FOLDER keeps what it found out."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["integration", "jmespath", "defusedxml"]):
    from fuzz.mutation import mutated
    from fuzz.targets import TARGETS

BOUNDS = ("-timeout=1", "-rss_limit_mb=2048", "-max_len=16384")  # options of the command line win


def main(arguments: list[str]) -> None:
    """Write the seeds into the folder, and fuzz until libFuzzer is told to stop or finds something."""
    if len(arguments) < 2 or arguments[0] not in TARGETS:
        sys.exit(f"usage: python -m fuzz {{{','.join(TARGETS)}}} FOLDER [libFuzzer options]")
    target, folder, options = TARGETS[arguments[0]], Path(arguments[1]), arguments[2:]
    if not folder.is_file():  # a file is an input that was found, to be tried again
        folder.mkdir(parents=True, exist_ok=True)
        for seed in target.seeds():
            (folder / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup(["fuzz", *BOUNDS, *options, str(folder)], target.run, custom_mutator=_mutate)
    atheris.Fuzz()


def _mutate(data: bytes, longest: int, seed: int) -> bytes:
    return mutated(data, longest, seed, atheris.Mutate)


main(sys.argv[1:])
