"""`python -m fuzz.replay TARGET [FILE ...]`: a target's seeds, or these inputs, once and without atheris."""

from __future__ import annotations

import sys
from pathlib import Path

from fuzz.targets import TARGETS


def main(arguments: list[str]) -> None:
    """Run the target on each input; what breaks its law comes out as it is."""
    if not arguments or arguments[0] not in TARGETS:
        sys.exit(f"usage: python -m fuzz.replay {{{','.join(TARGETS)}}} [FILE ...]")
    target, files = TARGETS[arguments[0]], arguments[1:]
    inputs = [Path(file).read_bytes() for file in files] or list(target.seeds())
    for data in inputs:
        target.run(data)
    print(f"{len(inputs)} inputs, no findings.")


if __name__ == "__main__":
    main(sys.argv[1:])
