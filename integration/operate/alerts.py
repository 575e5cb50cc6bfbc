"""Alerts: dead letters, and a pause of all deliveries, are told once, with their cause and what to do.

A cause is told as soon as it has its first dead letter, and then at most once an hour, with the number of
those that came since. All workers look; a row in the store lets one of them tell. Whoever dies between
telling and writing that down lets another tell again: twice is a nuisance, never is a danger.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from integration.core import metrics
from integration.core.clock import Clock
from integration.core.logs import log_action
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.store import alert_rows, budget
from integration.store.alert_rows import DELIVERY, News, Told
from integration.store.budget import Pause
from integration.store.dead_rows import Kind
from integration.store.engine import Store

log = logging.getLogger(__name__)

# A transaction may commit some seconds after the time that it writes down: younger letters wait a little.
COMMITTED_AFTER_SECONDS = 15
PAUSE_TOLERATED_SECONDS = 60
REPEAT_SECONDS = 3600
TELLING_SECONDS = 60  # longer than any post takes
FIRST_RETRY_SECONDS = 30
LONGEST_RETRY_SECONDS = 900
LONGEST_DETAIL = 500

Post = Callable[[Mapping[str, object]], str | None]
_Message = dict[str, object]


class Alerts:
    """Looks for what people must know. Any number may run at once, in any process.

    `post` sends one message and returns why it could not, or None; without it, alerts are only logged.
    """

    def __init__(self, store: Store, clock: Clock, post: Post | None) -> None:
        self._store = store
        self._clock = clock
        self._post = post

    def step(self, stopping: Callable[[], bool]) -> None:
        """Look once, and tell what is news. Returns early, between two messages, when `stopping` says so."""
        with self._store.read() as connection:
            told = alert_rows.told(connection)
            causes = alert_rows.causes(connection)
            pause = budget.current_pause(connection)
        now = self._clock()
        for kind, code in causes:
            before = told.get(alert_rows.subject_of(kind, code))
            if not stopping() and (before is None or _may_repeat(before, _told_until(now), now)):
                self._tell_letters(kind, code)
        delivery = told.get(DELIVERY, Told(DELIVERY))
        if not stopping() and delivery.next_at <= now and _delivery_after(delivery, pause, now) != delivery:
            self._tell_delivery()

    def _tell_letters(self, kind: Kind, code: str) -> None:
        now = self._clock()
        until = _told_until(now)
        with self._store.write() as connection:
            told = alert_rows.lock(connection, alert_rows.subject_of(kind, code))
            news = alert_rows.news_of(connection, kind, code, told.told_until, until)
            if news is None or not _may_repeat(told, until, now):
                return
            alert_rows.save(connection, _claimed(told, now))
        self._tell(_letters_message(news), told, replace(told, told_until=until, next_at=0, failures=0))

    def _tell_delivery(self) -> None:
        now = self._clock()
        with self._store.write() as connection:
            told = alert_rows.lock(connection, DELIVERY)
            pause = budget.current_pause(connection)
            after = _delivery_after(told, pause, now)
            if told.next_at > now:
                return
            news = after.told_until != told.told_until
            alert_rows.save(connection, _claimed(told, now) if news else after)
        if news:
            message = _paused_message(pause, after.since) if after.since else _resumed_message(told.since)
            self._tell(message, told, after)

    def tell_state(self, subject: str, message: Mapping[str, object] | None) -> None:
        """What is wrong with this subject now (None: nothing): told once it lasts, then at most once an hour,
        and once when it ended.
        """
        now = self._clock()
        with self._store.write() as connection:
            told = alert_rows.lock(connection, subject)
            after = _state_after(told, message is not None, now)
            if told.next_at > now or after == told:
                return
            news = message if message is not None else _ended_message(subject)
            is_news = bool(told.told_until if message is None else after.told_until != told.told_until)
            alert_rows.save(connection, _claimed(told, now) if is_news else after)
        if is_news:
            self._tell(dict(news), told, after)

    def _tell(self, message: _Message, before: Told, after: Told) -> None:
        """Post a message whose subject is claimed; `after` is the subject once it is told."""
        failure = self._post(message) if self._post else None
        now = self._clock()
        if failure is not None:
            after = _failed(before, now)
        with self._store.write() as connection:
            alert_rows.lock(connection, after.subject)
            alert_rows.save(connection, after)
        _report(message, failure, posted=self._post is not None, again_in=(after.next_at - now))


def _told_until(now: Micros) -> Micros:
    return now - COMMITTED_AFTER_SECONDS * MICROS_PER_SECOND


def _may_repeat(told: Told, until: Micros, now: Micros) -> bool:
    return told.next_at <= now and until - told.told_until >= REPEAT_SECONDS * MICROS_PER_SECOND


def _claimed(told: Told, now: Micros) -> Told:
    return replace(told, next_at=now + TELLING_SECONDS * MICROS_PER_SECOND)


def _failed(before: Told, now: Micros) -> Told:
    seconds = min(FIRST_RETRY_SECONDS * 2 ** min(before.failures, 30), LONGEST_RETRY_SECONDS)
    return replace(before, next_at=now + seconds * MICROS_PER_SECOND, failures=before.failures + 1)


def _delivery_after(told: Told, pause: Pause, now: Micros) -> Told:
    """The subject of deliveries after a look. Where its `told_until` changes there is something to tell."""
    return _state_after(told, _lasts(pause, now), now)


def _state_after(told: Told, is_bad: bool, now: Micros) -> Told:  # noqa: FBT001 - private
    """A subject that is either well or not, after a look: told when it was not for a while, and hourly."""
    if not is_bad:
        return Told(told.subject)
    if not told.since:
        return Told(told.subject, since=now)
    is_short = now - told.since < PAUSE_TOLERATED_SECONDS * MICROS_PER_SECOND
    if is_short or now - told.told_until < REPEAT_SECONDS * MICROS_PER_SECOND:
        return told
    return Told(told.subject, since=told.since, told_until=now)


def _lasts(pause: Pause, now: Micros) -> bool:
    """Whether deliveries are paused for more than a moment: by failures in a row, or until long from now.

    That the rate limit's window is used up is no such thing: it passes within seconds.
    """
    return pause.pauses > 0 or pause.until - now > PAUSE_TOLERATED_SECONDS * MICROS_PER_SECOND


# Messages


def _letters_message(news: News) -> _Message:
    number = (
        f"{alert_rows.MOST_COUNTED:,} or more" if news.count >= alert_rows.MOST_COUNTED else f"{news.count:,}"
    )
    letters = "1 dead letter" if news.count == 1 else f"{number} dead letters"
    command = f"leadwire dead --cause {news.cause.code}"
    text = (
        f"Leadwire: {letters} since {_shown(news.oldest)}: {news.kind}s with {news.cause.code}. "
        f"Example: {harmless(news.cause.detail)}. What to do: {harmless(news.cause.cure)}. See: {command}"
    )
    return {
        "text": text,
        "alert": "dead_letters",
        "kind": news.kind,
        "cause": news.cause.code,
        "count": news.count,
        "since": _shown(news.oldest),
        "example": news.example,
        "detail": news.cause.detail[:LONGEST_DETAIL],
        "cure": news.cause.cure[:LONGEST_DETAIL],
        "command": command,
    }


def _paused_message(pause: Pause, since: Micros) -> _Message:
    detail = pause.reason or "no reason is known"
    cure = (
        "nothing is lost, and it is tried again by itself; if HubSpot refuses the token, set a valid "
        "HUBSPOT_ACCESS_TOKEN and start the workers anew"
    )
    text = (
        f"Leadwire: nothing is sent to HubSpot since {_shown(since)}: {harmless(detail)}. "
        f"What to do: {cure}. See: leadwire status"
    )
    return _delivery_message("delivery_paused", text, since, detail[:LONGEST_DETAIL], cure)


def _resumed_message(since: Micros) -> _Message:
    text = f"Leadwire: updates are sent to HubSpot again, after a pause since {_shown(since)}."
    return _delivery_message("delivery_resumed", text, since, "", "")


def _delivery_message(alert: str, text: str, since: Micros, detail: str, cure: str) -> _Message:
    return {
        "text": text,
        "alert": alert,
        "since": _shown(since),
        "detail": detail,
        "cure": cure,
        "command": "leadwire status",
    }


def _ended_message(subject: str) -> _Message:
    text = f"Leadwire: {subject} is as it should be again."
    return {"text": text, "alert": "mapping_fixed", "subject": subject, "command": "leadwire sources"}


def _shown(time: Micros) -> str:
    return datetime.fromtimestamp(time // MICROS_PER_SECOND, UTC).isoformat().replace("+00:00", "Z")


def harmless(text: str) -> str:
    """Text that may quote a payload, as chats show it: on one line, and without any power to call people.

    Slack wants &, < and > escaped (https://docs.slack.dev/messaging/formatting-message-text, 2026-11-23), and
    would take `<!channel>` for a call to everybody; Mattermost takes `@channel` for one.
    """
    line = " ".join(text.split())[:LONGEST_DETAIL].rstrip(".")
    escaped = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?<![\w.])@(?=\w)", "@\u200b", escaped)


# Logs


def _report(message: _Message, failure: str | None, *, posted: bool, again_in: Micros) -> None:
    facts = {name: value for name, value in message.items() if name != "text"}
    if failure is not None:
        metrics.ALERTS.labels("failed").inc()
        seconds = again_in // MICROS_PER_SECOND
        text = f"An alert could not be posted: {failure}. It is tried again in {seconds} s"
        log_action(log, "alert.failed", text, logging.ERROR, **facts)
        return
    metrics.ALERTS.labels("posted" if posted else "logged").inc()
    if message["alert"] in ("delivery_resumed", "mapping_fixed"):
        log_action(log, "alert.ended", str(message["text"]), **facts)
    else:
        log_action(log, "alert.raised", str(message["text"]), logging.ERROR, **facts)
