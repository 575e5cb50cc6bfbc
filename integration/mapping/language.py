"""What a mapping file may say: `mapping.schema.json`, with the options of the schemes that there are.

The file beside this one is what editors read; its part about `verify:` is written by `make docs`, and a test
holds it to the code. What counts is what the schemes declare themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from integration.files.document import Format
from integration.files.positions import Key
from integration.files.wording import Language
from integration.verify import with_schemes

FILE = Path(__file__).with_name("mapping.schema.json")
SCHEMA: dict[str, Any] = with_schemes(json.loads(FILE.read_text(encoding="utf-8")))
FORM = Format("`version: 1` and `source: ...`")


def _may_be_secret(path: tuple[Key, ...]) -> bool:
    return (path[:1] == ("verify",) and path != ("verify", "scheme")) or path[:2] == ("fetch", "auth")


LANGUAGE = Language(SCHEMA, _may_be_secret)
