"""What every long-running process does once it has loaded its code."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 100_000


def spare_the_collector() -> None:
    """Look for garbage cycles less often, and never among what was loaded at the start.

    Decoded payloads are many objects without cycles, which reference counting frees by itself; looking
    through them at Python's default pace took 40 % of a translation's time (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
