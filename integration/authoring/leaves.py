"""The values of a payload, each with the path that leads to it. Pure."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from integration.files.positions import Key

MOST_NODES = 5_000
DEEPEST = 10
LONGEST_NAME = 60
_TEXT = "#text"  # of an XML element that has attributes too
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A text, number or boolean of a payload. `root` is `$.` where its path starts at the whole body.

    `wrappers` is how many of the outermost names hold nothing but the next one.
    """

    steps: tuple[Key, ...]
    value: str | int | float | bool
    root: str = ""
    wrappers: int = 0

    @property
    def path(self) -> str:
        """The path as a mapping writes it: `data.lines[0]."first-name"`."""
        return self.root + path_text(self.steps)

    @property
    def names(self) -> tuple[str, ...]:
        """The names on the way, each in small letters and without what separates its words."""
        steps = self.steps[:-1] if self.steps[-1] == _TEXT else self.steps
        return tuple(squeezed(step) for step in steps if isinstance(step, str))

    @property
    def name(self) -> str:
        """The last of `names`; "" for an element of a list without a name."""
        return self.names[-1] if self.names else ""

    @property
    def parents(self) -> tuple[str, ...]:
        """`names` without the last."""
        return self.names[:-1]

    @property
    def depth(self) -> int:
        """How many steps lead to it."""
        return len(self.steps)


def leaves(payload: Any, root: str = "", without: str | None = None) -> Iterator[Leaf]:
    """The values of a payload, shallow ones first; of a list, those of its first element only.

    Bounded in number and depth; names that no person would write are passed over. `without` names a key
    of the payload that is not looked into.
    """
    wrappers = _wrappers(payload)
    waiting: deque[tuple[tuple[Key, ...], Any]] = deque([((), payload)])
    for _ in range(MOST_NODES):
        if not waiting:
            return
        steps, node = waiting.popleft()
        if isinstance(node, dict | list):
            if len(steps) < DEEPEST:
                waiting.extend(_below(steps, node, without if not steps else None))
        elif node is not None and steps:
            yield Leaf(steps, node, root, wrappers)


def _wrappers(payload: Any) -> int:
    count = 0
    while isinstance(payload, dict) and len(payload) == 1 and count < DEEPEST:
        (payload,) = payload.values()
        count += isinstance(payload, dict)
    return count


def _below(
    steps: tuple[Key, ...], node: dict[str, Any] | list[Any], without: str | None
) -> Iterator[tuple[tuple[Key, ...], Any]]:
    if isinstance(node, list):
        yield from (((*steps, 0), child) for child in node[:1])
        return
    for name, child in node.items():
        is_attribute = name.startswith("@")  # of an XML element: tells how it is written, not what it is
        if name != without and not is_attribute and 0 < len(name) <= LONGEST_NAME and name.isprintable():
            yield (*steps, name), child


def path_text(steps: tuple[Key, ...]) -> str:
    """Steps as a JMESPath expression; `@` for none."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if _PLAIN_NAME.fullmatch(step) else json.dumps(step, ensure_ascii=False)
            text += f".{name}" if text else name
    return text or "@"


def words(name: str) -> tuple[str, ...]:
    """`customerID` and `customer_id` as `("customer", "id")`."""
    return tuple(word.lower() for word in _WORD.findall(name))


def squeezed(name: str) -> str:
    """`customerID` and `customer_id` as `customerid`."""
    return "".join(words(name))
