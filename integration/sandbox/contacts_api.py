"""The contacts API of the stand-in: contacts, batches, search and properties, under v3 and dated versions.

By https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide and error-handling (2026-11-23).
The results of a batch come in another order than its inputs, since no order is promised.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify, request

from integration.sandbox.contact_store import (
    BadProperty,
    ConflictError,
    Contact,
    ContactBook,
    InvalidPropertiesError,
    Property,
)
from integration.sandbox.replies import Reply, json_reply

MAX_INPUTS = 100
_MAX_SEARCH = 200
_DEFAULT_NAMES = ("createdate", "email", "firstname", "lastmodifieddate", "lastname")
_FIRST_VERSION_WITH_ERRORS_IN_200 = "2026-09"
_FIELD_TYPES = {
    "string": "text",
    "number": "number",
    "datetime": "date",
    "date": "date",
    "bool": "booleancheckbox",
}

Answer = Callable[[Callable[[], Reply]], Response]


def contacts_blueprint(book: ContactBook, answer: Answer) -> Blueprint:
    """The routes; `answer` wraps each with token, rate limit, faults and the request log."""
    api = Blueprint("contacts", __name__)

    def route(path: str, methods: Sequence[str], handle: Callable[..., Reply]) -> None:
        def view(**values: str) -> Response:
            version = values.pop("version", "v3")
            return answer(partial(_handled, partial(handle, book, version, **values)))

        for prefix in ("/crm/v3/objects/contacts", "/crm/objects/<version>/contacts"):
            name = f"{handle.__name__}_{'dated' if '<' in prefix else 'v3'}"
            api.add_url_rule(f"{prefix}{path}", name, view, methods=methods)

    route("/<id>", ["GET"], _get)
    route("/<id>", ["PATCH"], _patch)
    route("/<id>", ["DELETE"], _delete)
    route("", ["POST"], _create)
    route("/batch/<operation>", ["POST"], _batch)
    route("/search", ["POST"], _search)

    @api.get("/crm/v3/properties/contacts")
    @api.get("/crm/properties/<version>/contacts")
    def list_properties(version: str = "v3") -> Response:  # noqa: ARG001 - the same in every version
        found = [_property_json(item) for item in book.properties()]
        return answer(lambda: json_reply({"results": found}))

    return api


def contact_calls(book: ContactBook) -> Blueprint:
    """The control calls for contacts and properties."""
    control = Blueprint("contact_calls", __name__, url_prefix="/_sandbox")

    @control.put("/contacts/<id>")
    def seed(id: str) -> tuple[Response, int]:
        try:
            return jsonify(book.put(id, _texts(request.get_json())).as_json()), 200
        except InvalidPropertiesError as error:
            return jsonify(error="; ".join(bad.message for bad in error.bad)), 400
        except ConflictError as error:
            return jsonify(error=str(error)), 409

    @control.get("/contacts")
    def contacts() -> Response:
        return jsonify([contact.as_json() for contact in book.contacts()])

    @control.get("/contacts/<id>")
    def contact(id: str) -> tuple[Response, int]:
        found = book.find(id)
        return (jsonify(found.as_json()), 200) if found else (jsonify(error="there is no such contact"), 404)

    @control.put("/properties/<name>")
    def define(name: str) -> tuple[str, int]:
        told = request.get_json()
        options = tuple(told.get("options", ()))
        book.define(
            Property(
                name,
                told.get("type", "string"),
                options,
                bool(told.get("read_only")),
                bool(told.get("unique")),
            )
        )
        return "", 204

    @control.delete("/properties/<name>")
    def remove(name: str) -> tuple[str, int]:
        book.remove_property(name)
        return "", 204

    return control


def error_reply(status: int, category: str, message: str, **more: Any) -> Reply:
    """An error as the API words it."""
    content = {
        "status": "error", "message": message, "correlationId": str(uuid.uuid4()),
        "category": category, **more,
    }  # fmt: skip
    return json_reply(content, status, why=message)


def _handled(handle: Callable[[], Reply]) -> Reply:
    try:
        return handle()
    except InvalidPropertiesError as error:
        return _invalid(error.bad)
    except ConflictError as error:
        return error_reply(409, "CONFLICT", str(error))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return error_reply(400, "VALIDATION_ERROR", f"Invalid input JSON: {error}")


def _get(book: ContactBook, version: str, id: str) -> Reply:  # noqa: ARG001 - the same in every version
    contact = book.find(id, request.args.get("idProperty", "hs_object_id"))
    if contact is None:
        return _missing(id)
    asked = [name for text in request.args.getlist("properties") for name in text.split(",")]
    return json_reply(contact.as_json(asked or _DEFAULT_NAMES))


def _patch(book: ContactBook, version: str, id: str) -> Reply:  # noqa: ARG001 - the same in every version
    contact = book.find(id, request.args.get("idProperty", "hs_object_id"))
    if contact is None:
        return _missing(id)
    properties = _texts(_body()["properties"])
    book.check([properties])
    return json_reply(book.update(contact, properties).as_json(), applied=True)


def _delete(book: ContactBook, version: str, id: str) -> Reply:  # noqa: ARG001 - the same in every version
    return Reply(204, applied=book.archive(id))


def _create(book: ContactBook, version: str) -> Reply:  # noqa: ARG001 - the same in every version
    return json_reply(book.create(_texts(_body()["properties"])).as_json(), 201, applied=True)


def _batch(book: ContactBook, version: str, operation: str) -> Reply:
    body = _body()
    inputs = body["inputs"]
    if len(inputs) > MAX_INPUTS:
        message = (
            f"The maximum number of inputs supported in a batch request is {MAX_INPUTS}, got {len(inputs)}"
        )
        return error_reply(400, "VALIDATION_ERROR", message)
    keys = [(item.get("idProperty"), item["id"]) for item in inputs if "id" in item]
    if operation != "read" and len(set(keys)) < len(keys):
        return error_reply(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input")
    if operation == "archive":
        archived = [book.archive(str(item["id"])) for item in inputs]
        return Reply(204, applied=any(archived))
    if operation == "read":
        return _batch_answer(version, *_read(book, body))
    if operation not in ("update", "upsert", "create"):
        return error_reply(404, "OBJECT_NOT_FOUND", "resource not found")
    book.check([_texts(item["properties"]) for item in inputs])
    return _batch_answer(version, *_write(book, operation, inputs), applied=True)


def _read(book: ContactBook, body: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    id_property = body.get("idProperty") or "hs_object_id"
    if not book.is_unique(id_property):
        raise ValueError(f"{id_property} is not a unique property")
    results, errors = [], []
    names = body.get("properties") or _DEFAULT_NAMES
    for key in dict.fromkeys(str(item["id"]) for item in body["inputs"]):
        contact = book.find(key, id_property)
        if contact is None:
            errors.append(_row_error(key))
        else:
            results.append(contact.as_json(names))
    return results, errors


def _write(book: ContactBook, operation: str, inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    results, errors = [], []
    for item in inputs:
        properties = _texts(item["properties"])
        contact = (
            book.find(str(item["id"]), item.get("idProperty") or "hs_object_id") if "id" in item else None
        )
        if operation == "update" and contact is None:
            errors.append(_row_error(str(item["id"])))
            continue
        written = book.create(properties) if contact is None else book.update(contact, properties)
        results.append(_written(written, item, operation, is_new=contact is None))
    return results, errors


def _written(contact: Contact, item: Mapping[str, Any], operation: str, *, is_new: bool) -> dict[str, Any]:
    content = contact.as_json()
    if "objectWriteTraceId" in item:
        content["objectWriteTraceId"] = item["objectWriteTraceId"]
    return {**content, "new": is_new} if operation == "upsert" else content


def _batch_answer(
    version: str, results: Sequence[Any], errors: Sequence[Any], *, applied: bool = False
) -> Reply:
    content: dict[str, Any] = {"status": "COMPLETE", "results": list(reversed(results))}
    content |= {"startedAt": "2026-11-23T12:00:00.000Z", "completedAt": "2026-11-23T12:00:00.001Z"}
    if errors:
        content |= {"numErrors": len(errors), "errors": list(errors)}
    says_207 = bool(errors) and (version == "v3" or version < _FIRST_VERSION_WITH_ERRORS_IN_200)
    return json_reply(content, 207 if says_207 else 200, applied=applied and bool(results))


def _search(book: ContactBook, version: str) -> Reply:  # noqa: ARG001 - the same in every version
    body = _body()
    groups = body.get("filterGroups") or [{}]
    found = [
        contact
        for contact in book.contacts()
        if any(all(_fits(contact, rule) for rule in group.get("filters", ())) for group in groups)
    ]
    shown = found[: min(int(body.get("limit", 10)), _MAX_SEARCH)]
    names = body.get("properties") or _DEFAULT_NAMES
    return json_reply({"total": len(found), "results": [contact.as_json(names) for contact in shown]})


def _fits(contact: Contact, rule: Mapping[str, Any]) -> bool:
    value = contact.properties.get(rule["propertyName"])
    operator = str(rule["operator"])
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return (value is not None) == (operator == "HAS_PROPERTY")
    if value is None:
        return operator in ("NEQ", "NOT_IN")
    folded = value.casefold()
    if operator in ("EQ", "NEQ"):
        return (folded == str(rule["value"]).casefold()) == (operator == "EQ")
    if operator in ("IN", "NOT_IN"):
        return (folded in {str(item).casefold() for item in rule["values"]}) == (operator == "IN")
    if operator == "CONTAINS_TOKEN":
        return str(rule["value"]).casefold() in folded.replace(";", " ").split()
    raise ValueError(f"operator {operator} is not supported")


def _body() -> Any:
    return json.loads(request.get_data())


def _texts(properties: Mapping[str, Any]) -> dict[str, str]:
    """Numbers and booleans are taken as their text, as HubSpot does."""
    return {
        name: "" if value is None else value if isinstance(value, str) else json.dumps(value)
        for name, value in properties.items()
    }


def _invalid(bad: Sequence[BadProperty]) -> Reply:
    listed = [
        {
            "isValid": False, "message": item.message, "error": item.code, "name": item.name,
            "propertyValue": item.value, "localizedErrorMessage": item.message,
        }
        for item in bad
    ]  # fmt: skip
    errors = [
        {"message": item.message, "code": item.code, "context": {"propertyName": [item.name]}} for item in bad
    ]
    message = f"Property values were not valid: {json.dumps(listed)}"
    return error_reply(400, "VALIDATION_ERROR", message, errors=errors)


def _missing(id: str) -> Reply:
    if id.isdigit():
        return json_reply(
            {"status": "error", "message": "resource not found", "correlationId": str(uuid.uuid4())}, 404
        )
    return error_reply(404, "OBJECT_NOT_FOUND", "Object not found.  objectId are usually numeric.")


def _row_error(key: str) -> dict[str, Any]:
    message = f"No contact with ID {key} exists"
    return {
        "status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": [key]},
        "errors": [], "links": {},
    }  # fmt: skip


def _property_json(item: Property) -> dict[str, Any]:
    return {
        "name": item.name, "label": item.name, "type": item.type, "groupName": "contactinformation",
        "fieldType": "select" if item.options else _FIELD_TYPES.get(item.type, "text"), "description": "",
        "options": [{"label": text, "value": text, "hidden": False} for text in item.options],
        "hasUniqueValue": item.unique, "calculated": False, "externalOptions": False, "hidden": False,
        "modificationMetadata": {
            "archivable": True, "readOnlyDefinition": False, "readOnlyValue": item.read_only,
        },
    }  # fmt: skip
