"""Holds a mapping file to `mapping.schema.json`, and says in plain words what does not fit.

The schema may carry, beside what JSON Schema knows: `x-message` (what is wrong, instead of a pattern),
`x-cure` (what to write) and `x-exactlyOne` (the keys of which one must stand there).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from integration.core.errors import describe
from integration.files.positions import Key, Spot, did_you_mean

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "mapping/mapping.schema.json").read_text("utf-8")
)
_VALIDATOR = Draft202012Validator(SCHEMA)
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


def check(data: Any, root: Spot) -> set[tuple[Key, ...]]:
    """Report everything that the schema does not allow; returns where, so that it is not judged again."""
    paths = set()
    for error in sorted(_VALIDATOR.iter_errors(data), key=_position):
        path = tuple(error.absolute_path)
        paths.add(path)
        for at, (message, cure) in _worded(error, path):
            spot = root
            for key in at:
                spot = spot / key
            spot.report(message, cure)
    return paths


def _position(error: ValidationError) -> list[tuple[bool, str, int]]:
    return [
        (isinstance(key, str), str(key), key if isinstance(key, int) else 0) for key in error.absolute_path
    ]


def _worded(error: ValidationError, path: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], Wording]]:
    """Where and in which words; an unknown key is reported at its own line."""
    if error.validator == "additionalProperties":
        known = list(_schema_of(error)["properties"])
        for key in error.instance:  # type: ignore[union-attr]  # it is an object, or this would not fail
            if key not in known:
                message = f"unknown key {key!r}{did_you_mean(str(key), known)}"
                yield (*path, key), (message, f"known here: {', '.join(known)}")
    elif "propertyNames" in error.absolute_schema_path:
        name = str(error.instance)
        yield (*path, name), (f"{name!r} {_schema_of(error)['x-message']}", _cure(error))
    else:
        yield path, _WORDINGS.get(str(error.validator), _other)(error)


def _schema_of(error: ValidationError) -> dict[str, Any]:
    return error.schema if isinstance(error.schema, dict) else {}


def _cure(error: ValidationError) -> str:
    return str(_schema_of(error).get("x-cure", ""))


def _found(error: ValidationError) -> str:
    """The value in words; of what may be a secret pasted by mistake, only its kind."""
    value, path = error.instance, list(error.absolute_path)
    kind = _TYPE_WORDS[_type_of(value)].removeprefix("a ")
    if isinstance(value, dict | list) or value is None:
        return _TYPE_WORDS[_type_of(value)]
    if _may_be_secret(path):
        return kind
    return describe(value) if isinstance(value, bool) else f"{kind} {describe(value)}"


def _may_be_secret(path: list[Key]) -> bool:
    return (path[:1] == ["verify"] and path != ["verify", "scheme"]) or path[:2] == ["fetch", "auth"]


def _type_of(value: object) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "boolean"), (str, "string"), (int, "number"), (float, "number"), (list, "array"),
        (dict, "object"),
    )  # fmt: skip
    return next((word for kind, word in kinds if isinstance(value, kind)), "null")


def _wrong_type(error: ValidationError) -> Wording:
    wanted: Any = error.validator_value
    names = [_TYPE_WORDS[name] for name in (wanted if isinstance(wanted, list) else [wanted])]
    expected = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    if isinstance(error.instance, list) and wanted == _operand_types():
        return f"expected {expected}, found a list", "write `{in: [...]}`"
    return f"expected {expected}, found {_found(error)}", _cure(error) or f"write {expected}"


def _operand_types() -> list[str]:
    types: list[str] = SCHEMA["$defs"]["operators"]["type"]
    return types


def _missing_key(error: ValidationError) -> Wording:
    key = error.message.split("'")[1]
    schema = _schema_of(error).get("properties", {}).get(key, {})
    if "$ref" in schema:
        schema = {**SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    cure = schema.get("x-cure") or f"add `{key}: ...`"
    return f"{key!r} is missing", str(cure)


def _not_one_of(error: ValidationError) -> Wording:
    known = [str(value) for value in error.validator_value]  # type: ignore[union-attr]  # an enum is a list
    guess = did_you_mean(error.instance, known) if isinstance(error.instance, str) else ""
    return f"{_found(error)} is not known here{guess}", f"write one of: {', '.join(known)}"


def _not_constant(error: ValidationError) -> Wording:
    return f"expected {describe(error.validator_value)}, found {_found(error)}", _cure(error)


def _bad_pattern(error: ValidationError) -> Wording:
    shown = "" if _may_be_secret(list(error.absolute_path)) else f"{_found(error)} "
    return f"{shown}{_schema_of(error)['x-message']}", _cure(error)


def _nothing_there(error: ValidationError) -> Wording:
    return "is empty", _cure(error) or "fill it in, or remove it"


def _not_exactly_one(error: ValidationError) -> Wording:
    names = _schema_of(error)["x-exactlyOne"]
    there = [name for name in names if name in error.instance]  # type: ignore[operator]  # an object
    found = " and ".join(there) if there else "none"
    return f"expected exactly one of {', '.join(names)}; found {found}", "keep one" if there else "add one"


def _needs_partner(error: ValidationError) -> Wording:
    _, partner, _, key, _ = error.message.split("'")
    return f"{key!r} needs {partner!r} beside it", f"add `{partner}: ...`, or remove `{key}`"


def _twice(_: ValidationError) -> Wording:
    return "has the same entry twice", "keep one"


def _other(error: ValidationError) -> Wording:
    if error.validator == "anyOf":
        return "says no way to find the lead", "add one of guid, contact_id, email, keys"
    limit = describe(error.validator_value)
    message, cure = {
        "minimum": (f"is below {limit}", f"write at least {limit}"),
        "maximum": (f"is above {limit}", f"write at most {limit}"),
        "maxLength": ("is too long", f"write at most {limit} characters"),
    }.get(str(error.validator), (f"does not fit {error.validator} {limit}", "see mapping.schema.json"))
    return message, _cure(error) or cure


_WORDINGS: dict[str, Callable[[ValidationError], Wording]] = {
    "type": _wrong_type,
    "required": _missing_key,
    "enum": _not_one_of,
    "const": _not_constant,
    "pattern": _bad_pattern,
    "minLength": _nothing_there,
    "minItems": _nothing_there,
    "minProperties": _nothing_there,
    "oneOf": _not_exactly_one,
    "dependentRequired": _needs_partner,
    "uniqueItems": _twice,
}
