"""Holds what people edit to a JSON Schema, and says in plain words what does not fit.

The schema comes as data. It may carry, beside what JSON Schema knows: `x-message` (what is wrong, instead of
a pattern), `x-cure` (what to write), `x-cureOfList` (what to write instead of a list), `x-exactlyOne` (the
keys of which one must stand there) and `x-anyOf` (message and cure where none of several keys stands there).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from integration.core.errors import describe
from integration.files.positions import Key, Spot, did_you_mean

Path = tuple[Key, ...]
_TYPE_WORDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "keys with values",
}

Wording = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something that the schema does not allow: where (`path`), what, and what to write instead. `judged` is
    the part that the schema has judged, so that nobody need judge it again.
    """

    path: Path
    message: str
    cure: str
    judged: Path


class Language:
    """What a kind of file may say. `may_be_secret` tells of a path whether a value there is never shown: a
    secret may have been pasted by mistake.
    """

    def __init__(
        self, schema: Mapping[str, Any], may_be_secret: Callable[[Path], bool] = lambda _: False
    ) -> None:
        self.schema = schema
        self._may_be_secret = may_be_secret
        self._validator = Draft202012Validator(schema)

    def check(self, data: Any, root: Spot) -> set[Path]:
        """Report everything that the schema does not allow; returns where, so that it is not judged again."""
        judged = set()
        for misfit in self.misfits(data):
            judged.add(misfit.judged)
            root.at(misfit.path).report(misfit.message, misfit.cure)
        return judged

    def misfits(self, data: Any) -> Iterator[Misfit]:
        """Everything that the schema does not allow, in the order of the paths."""
        for error in sorted(self._validator.iter_errors(data), key=_position):
            path = tuple(error.absolute_path)
            words = _Words(error, self.schema, hides=self._may_be_secret(path))
            for at, (message, cure) in words.all(path):
                yield Misfit(at, message, cure, path)


def _position(error: ValidationError) -> list[tuple[bool, str, int]]:
    return [
        (isinstance(key, str), str(key), key if isinstance(key, int) else 0) for key in error.absolute_path
    ]


class _Words:
    """One error of the validator in words; `hides` where its value may be a secret."""

    def __init__(self, error: ValidationError, root: Mapping[str, Any], *, hides: bool) -> None:
        self._error = error
        self._root = root
        self._hides = hides
        self._schema: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
        self._cure = str(self._schema.get("x-cure", ""))

    def all(self, path: Path) -> Iterator[tuple[Path, Wording]]:
        """Where and in which words; an unknown key is reported at its own line."""
        error = self._error
        if error.validator == "additionalProperties":
            yield from self._unknown_keys(path)
        elif error.validator in ("oneOf", "anyOf") and not isinstance(error.instance, dict):
            return  # that it is of the wrong type is told already
        elif "propertyNames" in error.absolute_schema_path:
            name = str(error.instance)
            yield (*path, name), (f"{name!r} {self._schema['x-message']}", self._cure)
        else:
            yield path, _WORDINGS.get(str(error.validator), _Words.other)(self)

    def _unknown_keys(self, path: Path) -> Iterator[tuple[Path, Wording]]:
        known = list(self._schema["properties"])
        for key in self._error.instance:  # type: ignore[union-attr]  # an object, or this would not fail
            if key not in known:
                message = f"unknown key {key!r}{did_you_mean(str(key), known)}"
                yield (*path, key), (message, f"known here: {', '.join(known) or 'none'}")

    @property
    def _found(self) -> str:
        """The value in words; of what may be a secret pasted by mistake, only its kind."""
        value: Any = self._error.instance
        words = _TYPE_WORDS[_type_of(value)]
        if isinstance(value, dict | list) or value is None:
            return words
        kind = words.removeprefix("a ")
        if self._hides:
            return kind
        return describe(value) if isinstance(value, bool) else f"{kind} {describe(value)}"

    def wrong_type(self) -> Wording:
        wanted: Any = self._error.validator_value
        names = [_TYPE_WORDS[name] for name in (wanted if isinstance(wanted, list) else [wanted])]
        expected = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
        cure = self._cure or f"write {expected}"
        if isinstance(self._error.instance, list):
            cure = self._schema.get("x-cureOfList", cure)
        return f"expected {expected}, found {self._found}", cure

    def missing_key(self) -> Wording:
        key = self._error.message.split("'")[1]
        schema = self._schema.get("properties", {}).get(key, {})
        if "$ref" in schema:
            schema = {**self._root["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
        cure = schema.get("x-cure") or f"add `{key}: ...`"
        return f"{key!r} is missing", str(cure)

    def not_one_of(self) -> Wording:
        known = [str(value) for value in self._error.validator_value]  # type: ignore[union-attr]  # an enum
        guess = did_you_mean(self._error.instance, known) if isinstance(self._error.instance, str) else ""
        return f"{self._found} is not known here{guess}", f"write one of: {', '.join(known)}"

    def not_constant(self) -> Wording:
        return f"expected {describe(self._error.validator_value)}, found {self._found}", self._cure

    def bad_pattern(self) -> Wording:
        shown = "" if self._hides else f"{self._found} "
        return f"{shown}{self._schema['x-message']}", self._cure

    def nothing_there(self) -> Wording:
        return "is empty", self._cure or "fill it in, or remove it"

    def not_exactly_one(self) -> Wording:
        names = self._schema["x-exactlyOne"]
        there = [name for name in names if name in self._error.instance]  # type: ignore[operator]  # an object
        found = " and ".join(there) if there else "none"
        return (
            f"expected exactly one of {', '.join(names)}; found {found}",
            "keep one" if there else "add one",
        )

    def not_any(self) -> Wording:
        said = self._schema["x-anyOf"]
        return said["message"], said["cure"]

    def needs_partner(self) -> Wording:
        _, partner, _, key, _ = self._error.message.split("'")
        return f"{key!r} needs {partner!r} beside it", f"add `{partner}: ...`, or remove `{key}`"

    def twice(self) -> Wording:
        return "has the same entry twice", "keep one"

    def other(self) -> Wording:
        limit = describe(self._error.validator_value)
        message, cure = {
            "minimum": (f"is below {limit}", f"write at least {limit}"),
            "exclusiveMinimum": (f"is not above {limit}", f"write more than {limit}"),
            "maximum": (f"is above {limit}", f"write at most {limit}"),
            "maxLength": ("is too long", f"write at most {limit} characters"),
        }.get(
            str(self._error.validator),
            (f"does not fit {self._error.validator} {limit}", "see docs/mapping-reference.md"),
        )
        return message, self._cure or cure


def _type_of(value: object) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "boolean"), (str, "string"), (int, "number"), (float, "number"), (list, "array"),
        (dict, "object"),
    )  # fmt: skip
    return next((word for kind, word in kinds if isinstance(value, kind)), "null")


_WORDINGS: dict[str, Callable[[_Words], Wording]] = {
    "type": _Words.wrong_type,
    "required": _Words.missing_key,
    "enum": _Words.not_one_of,
    "const": _Words.not_constant,
    "pattern": _Words.bad_pattern,
    "minLength": _Words.nothing_there,
    "minItems": _Words.nothing_there,
    "minProperties": _Words.nothing_there,
    "oneOf": _Words.not_exactly_one,
    "anyOf": _Words.not_any,
    "dependentRequired": _Words.needs_partner,
    "uniqueItems": _Words.twice,
}
