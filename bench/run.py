"""All benchmarks, one after the other: `make bench`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
BENCHMARKS = (
    "accept.py",
    "latency.py",
    "translate.py",
    "deliver.py",
    "contacts.py",
    "replay.py",
    "memory.py",
    "flat.py",
    "alternatives.py",
)


def main() -> None:
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    failed = []
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, str(FOLDER / name)], env=environment, check=False).returncode:
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
