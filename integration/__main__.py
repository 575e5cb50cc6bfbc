"""`python -m integration` is the `leadwire` command."""

from __future__ import annotations

from integration.cli import main

if __name__ == "__main__":
    main(prog_name="leadwire")
