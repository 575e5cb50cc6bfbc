"""The stand-in as a Flask app: HubSpot's Leads API v1, today's contacts API, and control calls.

The Leads API (`/leads/v1/...`, with or without a slash at the end) wants a token as `access_token=` or
`hapikey=` in the query or as a bearer token: any, unless one was configured. It answers by HubSpot's page:
200 with an empty body, 404 for an unknown lead, and 200 without any effect when an update is not
`application/json`. What the page leaves open is decided in `integration.sandbox.lead_store`, and here:
400 says in plain text what is wrong, 401 is HTML as it was, 429 names the policy as HubSpot does today.

Control calls:

- `PUT /_sandbox/leads/<guid>` puts a lead in place; the body holds what differs from a new lead.
- `GET /_sandbox/leads` and `GET /_sandbox/leads/<guid>`: all leads; one lead.
- `PUT /_sandbox/contacts/<id>` puts a contact in place, with these properties; `GET` as for leads.
- `PUT /_sandbox/properties/<name>` defines a contact property (`type`, `options`, `read_only`, `unique`);
  `DELETE` removes it.
- `POST /_sandbox/oauth` with `revoked`, `expires_in` or `expire_all`: what becomes of OAuth tokens.
- `GET /_sandbox/requests?since=n`: the API requests after number n, in the order of their answers, each
  with n, time (of arrival, microseconds since 1970), method, path, body, status, applied, why.
- `POST /_sandbox/faults` adds a fault (`integration.sandbox.faults.Fault`); `GET` lists, `DELETE` removes.
- `GET /_sandbox/stats`: requests, most_in_a_window, refused, rate_limit.
- `POST /_sandbox/reset` forgets everything.
"""

from __future__ import annotations

import hmac
import json
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, jsonify, request

from integration.core.clock import Clock, now
from integration.core.settings import RateLimit
from integration.sandbox.contact_store import Property
from integration.sandbox.contacts_api import contact_calls, contacts_blueprint, error_reply
from integration.sandbox.faults import Fault, read_fault
from integration.sandbox.lead_store import RefusedError, find_one, search, updated
from integration.sandbox.oauth_api import expired_reply, oauth_blueprint
from integration.sandbox.replies import Reply
from integration.sandbox.stand_in import Portal

_TOKEN_PARAMETERS = ("access_token", "hapikey")
_ARRIVED = "leadwire.arrived"
SOCKET_KEY = "leadwire.socket"  # where the server that runs the app puts the connection
_SOCKET_KEYS = (SOCKET_KEY, "werkzeug.socket", "gunicorn.socket")
_UNAUTHORIZED = (
    "<html><head><title>Error report</title></head>"
    "<body><h1>HTTP Status 401 - This request requires HTTP authentication ()</h1></body></html>"
)


def create_sandbox(
    rate_limit: RateLimit | None = None,
    clock: Clock = now,
    access_token: str | None = None,
    sleep: Callable[[float], object] = time.sleep,
    properties: Sequence[Property] = (),
) -> Flask:
    """The stand-in as a WSGI app with its own memory. With `access_token`, no other token is accepted.

    `properties` are the account's own ones of contacts. `sleep` waits some seconds in the way of the server
    that runs the app.
    """
    portal = Portal(rate_limit, clock, properties)
    app = Flask("integration.sandbox", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    app.register_blueprint(_leads_api(portal, access_token, sleep))
    app.register_blueprint(_contacts_api(portal, access_token, sleep))
    app.register_blueprint(oauth_blueprint(portal.grants))
    app.register_blueprint(_lead_calls(portal))
    app.register_blueprint(contact_calls(portal.book))
    app.register_blueprint(_fault_calls(portal))
    return app


def _leads_api(portal: Portal, access_token: str | None, sleep: Callable[[float], object]) -> Blueprint:
    api = Blueprint("leads", __name__, url_prefix="/leads/v1")
    answer = partial(_answer, portal, access_token, sleep)

    @api.put("/lead/<guid>")
    def update_lead(guid: str) -> Response:
        return answer(guid, partial(_update, portal, guid))

    @api.get("/lead/<guid>")
    def get_lead(guid: str) -> Response:
        return answer(guid, lambda: _one(portal.lead(guid)))

    @api.get("/lead")
    def get_lead_by_key() -> Response:
        return answer(None, lambda: _one(find_one(portal.leads(), request.args)))

    @api.get("/list")
    def list_leads() -> Response:
        return answer(None, lambda: _json(search(portal.leads(), request.args, portal.now_ms())))

    return api


def _contacts_api(portal: Portal, access_token: str | None, sleep: Callable[[float], object]) -> Blueprint:
    def answer(handle: Callable[[], Reply]) -> Response:
        return _answer_contacts(portal, access_token, sleep, handle)

    return contacts_blueprint(portal.book, answer)


def _lead_calls(portal: Portal) -> Blueprint:
    control = Blueprint("lead_calls", __name__, url_prefix="/_sandbox")

    @control.put("/leads/<guid>")
    def seed(guid: str) -> tuple[Response, int]:
        try:
            return jsonify(portal.seed(guid, _json_object(request.get_data()))), 200
        except RefusedError as error:
            return jsonify(error=str(error)), 400

    @control.get("/leads")
    def leads() -> Response:
        return jsonify(portal.leads())

    @control.get("/leads/<guid>")
    def lead(guid: str) -> tuple[Response, int]:
        found = portal.lead(guid)
        return (jsonify(found), 200) if found else (jsonify(error="there is no such lead"), 404)

    @control.get("/requests")
    def requests() -> Response:
        return jsonify(portal.requests(request.args.get("since", 0, type=int)))

    @control.get("/stats")
    def stats() -> Response:
        return jsonify(portal.stats())

    @control.post("/reset")
    def reset() -> tuple[str, int]:
        portal.reset()
        return "", 204

    return control


def _fault_calls(portal: Portal) -> Blueprint:
    control = Blueprint("fault_calls", __name__, url_prefix="/_sandbox")

    @control.post("/faults")
    def add_fault() -> tuple[Response, int]:
        try:
            portal.faults.add(read_fault(_json_object(request.get_data())))
        except (RefusedError, ValueError) as error:
            return jsonify(error=str(error)), 400
        return jsonify(portal.faults.describe()), 201

    @control.get("/faults")
    def faults() -> Response:
        return jsonify(portal.faults.describe())

    @control.delete("/faults")
    def clear_faults() -> tuple[str, int]:
        portal.faults.clear()
        return "", 204

    return control


def _answer(
    portal: Portal,
    access_token: str | None,
    sleep: Callable[[float], object],
    guid: str | None,
    handle: Callable[[], Reply],
) -> Response:
    """Every request to the Leads API: token, rate limit, faults, the work itself, the request log."""
    request.environ[_ARRIVED], wait = portal.arrive()
    if not _is_authorized(access_token):
        reply = Reply(401, _UNAUTHORIZED, "text/html", why="no token, or a wrong one")
    elif wait is not None:
        reply = _too_many(wait)
    else:
        return _with_faults(portal, portal.faults.take(guid), sleep, handle)
    return _finish(portal, reply)


def _answer_contacts(
    portal: Portal, access_token: str | None, sleep: Callable[[float], object], handle: Callable[[], Reply]
) -> Response:
    """Every request to the contacts API: the same, but a token in the header only, and rate-limit headers."""
    request.environ[_ARRIVED], wait = portal.arrive()
    token = _bearer()
    if portal.grants.is_expired(token):
        reply = expired_reply()
    elif not _is_bearer_good(portal, token, access_token):
        message = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
        reply = error_reply(401, "INVALID_AUTHENTICATION", message)
    elif wait is not None:
        reply = _too_many(wait)
    else:
        response = _with_faults(portal, portal.faults.take(None, _count_inputs()), sleep, handle)
        response.headers.update({} if request.path.endswith("/search") else portal.limit_headers())
        return response
    return _finish(portal, reply)


def _with_faults(
    portal: Portal, faults: Iterable[Fault], sleep: Callable[[float], object], handle: Callable[[], Reply]
) -> Response:
    decisive = None
    for fault in faults:
        sleep(fault.delay_ms / 1000)
        decisive = fault if fault.status or fault.drop else decisive
    if decisive is None:
        return _finish(portal, _handled(handle))
    done = _handled(handle) if decisive.after else Reply(0)
    headers = tuple(decisive.headers.items())
    reply = Reply(
        decisive.status or 0, decisive.body, "text/html", done.applied, done.why or "a fault", headers
    )
    return _finish(portal, reply, drop=decisive.drop)


def _handled(handle: Callable[[], Reply]) -> Reply:
    try:
        return handle()
    except RefusedError as error:
        return Reply(400, str(error), why=str(error))


def _finish(portal: Portal, reply: Reply, *, drop: bool = False) -> Response:
    portal.record(
        {
            "time": request.environ[_ARRIVED],
            "method": request.method,
            "path": _path_without_token(),
            "body": _logged_body(),
            "status": None if drop else reply.status,
            "applied": reply.applied,
            "why": reply.why,
        }
    )
    if drop:
        return _cut_connection()
    response = Response(reply.body, reply.status, content_type=reply.content_type)
    response.headers.update(reply.headers)
    return response


def _update(portal: Portal, guid: str) -> Reply:
    if portal.lead(guid) is None:
        return Reply(404, why="there is no such lead")
    if request.mimetype != "application/json":
        return Reply(200, why="the content type is not application/json")
    body = _json_object(request.get_data())
    at = portal.now_ms()
    if not portal.change(guid, lambda lead: updated(lead, body, at)):
        return Reply(404, why="there is no such lead")
    return Reply(200, applied=True)


def _one(lead: Any) -> Reply:
    """HubSpot's page shows a single lead as an array of one."""
    return Reply(404, why="there is no such lead") if lead is None else _json([lead])


def _json(content: Any) -> Reply:
    return Reply(200, json.dumps(content), "application/json")


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise RefusedError("the body is not a JSON object")
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _too_many(wait: int) -> Reply:
    body = {
        "status": "error",
        "message": "You have reached your ten_secondly_rolling limit.",
        "errorType": "RATE_LIMIT",
        "policyName": "TEN_SECONDLY_ROLLING",
    }
    headers = (("Retry-After", str(wait)),)
    return Reply(429, json.dumps(body), "application/json", why="above the rate limit", headers=headers)


def _is_authorized(access_token: str | None) -> bool:
    given = [request.args[name] for name in _TOKEN_PARAMETERS if request.args.get(name)]
    given += filter(None, [_bearer()])
    if access_token is None:
        return bool(given)
    return any(_same(token, access_token) for token in given)


def _bearer() -> str:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else ""


def _count_inputs() -> int:
    body = _logged_body()
    inputs = body.get("inputs") if isinstance(body, dict) else None
    return len(inputs) if isinstance(inputs, list) else 0


def _is_bearer_good(portal: Portal, token: str, access_token: str | None) -> bool:
    if access_token is None or portal.grants.knows(token):
        return bool(token)
    return _same(token, access_token)


def _same(token: str, access_token: str) -> bool:
    return hmac.compare_digest(token.encode(), access_token.encode())


def _path_without_token() -> str:
    kept = [pair for pair in request.args.items(multi=True) if pair[0] not in _TOKEN_PARAMETERS]
    return f"{request.path}?{urlencode(kept)}" if kept else request.path


def _logged_body() -> Any:
    text = request.get_data().decode(errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _cut_connection() -> Response:
    """End the connection under the server's feet; what it then tries to write goes nowhere."""
    for key in _SOCKET_KEYS:
        connection = request.environ.get(key)
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)
    return Response(status=502, headers={"Connection": "close"})
