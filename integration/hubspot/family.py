"""Which operations can go to HubSpot in one call together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verb(StrEnum):
    """What a call does with its records; `move`: it writes a lifecycle stage, which may move one back."""

    FIND = "find"
    READ = "read"
    WRITE = "write"
    CREATE = "create"
    ARCHIVE = "archive"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Family:
    """Operations of one family go in one call. It is a key: equal families are one.

    `found_by`: the kind of identifier that a find asks by. `cost`: how many HTTP requests the call makes.
    `is_search`: whether these are searches, of which HubSpot allows fewer.
    """

    verb: Verb
    found_by: str = ""
    cost: int = 1
    is_search: bool = False
