"""The usual set-up: the view queues a task in Redis and answers; Celery's workers send the updates.

Done with care: tasks are acknowledged after they are done, duplicates are known by the event's id, 429 waits
as long as HubSpot says, with some jitter (Celery's own rate_limit was tried: it let one task a second through
here, whatever it was set to). With GUARD set, an event that is older than the newest one sent for its lead
is dropped.
"""

from __future__ import annotations

import os
import random
from typing import Any

import redis
import requests
from celery import Celery, Task
from flask import Flask, request
from webhook import is_genuine, put

REDIS = os.environ["REDIS_URL"]
DAY = 86_400

celery = Celery("queued", broker=REDIS)
celery.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": 30},
    broker_connection_retry_on_startup=True,
)
state = redis.Redis.from_url(REDIS, decode_responses=True)
app = Flask(__name__)


@app.post("/hooks/shop")
def receive() -> tuple[str, int]:
    if not is_genuine(request.get_data(), request.headers.get("Stripe-Signature", "")):
        return "", 401
    send.delay(request.get_json())
    return "", 200


@celery.task(bind=True, max_retries=10)
def send(task: Task, event: dict[str, Any]) -> None:
    if state.exists(f"done:{event['id']}"):
        return
    newest = state.get(f"newest:{event['guid']}") if os.environ.get("GUARD") else None
    if newest is not None and int(newest) > event["at"]:
        return
    try:
        answer = put(event, retries=0)
    except requests.RequestException as error:
        raise task.retry(exc=error, countdown=2**task.request.retries) from error
    if answer.status_code == 429 or answer.status_code >= 500:
        wait = float(answer.headers.get("Retry-After") or 2**task.request.retries)
        raise task.retry(
            exc=requests.HTTPError(str(answer.status_code)), countdown=wait * random.uniform(1, 2)
        )
    answer.raise_for_status()
    state.set(f"done:{event['id']}", 1, ex=DAY)
    if os.environ.get("GUARD"):
        state.set(f"newest:{event['guid']}", event["at"])
