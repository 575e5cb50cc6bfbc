"""Everything wrong with a mapping file is told at once, each with its line, in words, with its cure."""

from __future__ import annotations
