"""A file that people edit as data, with the line of everything in it.

YAML 1.2: `NO`, `on` and `off` are text. Keys are text as written; dates are text. Duplicate keys are
problems. Size and number of nodes (aliases followed) are limited.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from integration.core.errors import Problem, shorten
from integration.files.positions import Key

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]{1,100}")
_RADIX = re.compile(r"0(o[0-7]{1,50}|x[0-9a-fA-F]{1,50})")


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: how it begins, for who left it empty, and how much it may hold: bytes, and parts with
    aliases followed. `split` says what to do with a larger one.
    """

    begins_with: str
    largest: int = 256 * 1024
    most_nodes: int = 50_000
    split: str = "split the source in two"


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and where it stands in the file."""

    data: Any
    _root: Node = field(repr=False)

    def line(self, path: tuple[Key, ...]) -> int:
        """The line, from 1, of the key at `path`, or of the deepest part of `path` that exists."""
        node, line = self._root, _line(self._root)
        for key in path:
            found = next((child for child in _children(node) if child[0] == key), None)
            if found is None:
                break
            _, line, node = found
        return line


class UnreadableError(Exception):
    """The file is not YAML; carries the one Problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


Found = tuple[tuple[Key, ...], Problem]


def parse(content: bytes, shown_as: str, form: Format) -> tuple[Document, list[Found]]:
    """The document, and duplicate keys and the like in it, each with its path; raises UnreadableError if it
    is not YAML.
    """
    root = _compose(content, shown_as, form)
    found: list[Found] = []
    document = Document(_Reader(shown_as, found, form.most_nodes).read(root), root)
    return document, found


def _compose(content: bytes, shown_as: str, form: Format) -> Node:
    if len(content) > form.largest:
        raise _unreadable(shown_as, f"is larger than {form.largest // 1024} KiB", form.split)
    try:
        root: Node | None = YAML(typ="safe", pure=True).compose(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unreadable(f"{shown_as}:{line}", "is not UTF-8 text", "save the file as UTF-8") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _unreadable(f"{shown_as}:{line}", f"is not YAML: {error.problem}", _cure(error)) from error
    except (YAMLError, ValueError) as error:
        message = str(error).partition("\n")[0]
        raise _unreadable(f"{shown_as}:1", f"is not YAML: {message}", "remove it") from error
    except RecursionError as error:
        raise _unreadable(f"{shown_as}:1", "is nested too deeply", "few levels are needed") from error
    if root is None:
        raise _unreadable(f"{shown_as}:1", "is empty", f"begin with {form.begins_with}")
    return root


def _unreadable(place: str, message: str, cure: str) -> UnreadableError:
    return UnreadableError(Problem(place, "", message, cure))


def _cure(error: MarkedYAMLError) -> str:
    if "\\t" in str(error.problem):
        return "indent with spaces, not tabs"
    if "mapping values" in str(error.problem):
        return "put text that has ': ' in it in quotes"
    return "check the indentation, the quotes and the brackets here and on the line above"


def _line(node: Node) -> int:
    line: int = node.start_mark.line + 1
    return line


def _children(node: Node) -> Iterator[tuple[Key, int, Node]]:
    """Key, line and node of everything directly below a node."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode):
                yield key.value, _line(key), value
    elif not isinstance(node, ScalarNode):
        for position, item in enumerate(node.value):
            yield position, _line(item), item


class _Reader:
    """Turns nodes into plain data, counting as it goes."""

    def __init__(self, shown_as: str, found: list[Found], most_nodes: int) -> None:
        self._shown_as = shown_as
        self._found = found
        self._most = self._left = most_nodes
        self._open: set[int] = set()
        self._path: list[Key] = []

    def read(self, node: Node) -> Any:
        self._left -= 1
        if self._left < 0 or id(node) in self._open:
            cure = "repeat less with & and *, and never put a part into itself"
            raise _unreadable(self._at(node), f"has more than {self._most:,} parts", cure)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        self._open.add(id(node))
        data = self._mapping(node) if isinstance(node, MappingNode) else self._list(node)
        self._open.discard(id(node))
        return data

    def _below(self, key: Key, node: Node) -> Any:
        self._path.append(key)
        data = self.read(node)
        self._path.pop()
        return data

    def _list(self, node: Node) -> list[Any]:
        return [self._below(position, item) for position, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._report(key, "a key must be text", "put it in quotes")
            elif key.value in data:
                message = f"duplicate key {key.value!r}, first on line {lines[key.value]}"
                self._report(key, message, "keep one", below=(key.value,))
            else:
                lines[key.value] = _line(key)
                data[key.value] = self._below(key.value, value)
        return data

    def _scalar(self, node: ScalarNode) -> Any:
        text: str = node.value
        match str(node.tag).removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float":
                return self._number(node, text)
        return text

    def _number(self, node: ScalarNode, text: str) -> int | float | str:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _RADIX.fullmatch(text):
            return int(text, 0)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            cure = "write digits, or put it in quotes if it is text"
            self._report(node, f"{shorten(text)} is not a number that JSON knows", cure)
            return text
        return number

    def _report(self, node: Node, message: str, cure: str, below: tuple[Key, ...] = ()) -> None:
        self._found.append(((*self._path, *below), Problem(self._at(node), "", message, cure)))

    def _at(self, node: Node) -> str:
        return f"{self._shown_as}:{_line(node)}"
