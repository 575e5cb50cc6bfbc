"""Alerts: dead letters, a pause of all deliveries, and what waits too long are told once, with the cure.

A cause is told as soon as it has its first dead letter, and then at most once an hour, with the number of
those that came since. All workers look; a row in the store lets one of them tell. Whoever dies between
telling and writing that down lets another tell again: twice is a nuisance, never is a danger.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile

from sqlalchemy import Connection

from integration.core import metrics
from integration.core.clock import Clock
from integration.core.durations import ALERT_LEASE_SECONDS, ALERT_RETRY
from integration.core.logs import log_action
from integration.core.values import MICROS_PER_SECOND, Micros
from integration.store import alert_rows, budget
from integration.store.ages import read_ages, seconds_since
from integration.store.alert_rows import DELIVERY, DUE, TRANSLATION, News, Told
from integration.store.budget import Pause
from integration.store.dead_rows import Kind
from integration.store.engine import Store
from integration.store.isolation import one_by_one

log = logging.getLogger(__name__)

# A transaction may commit some seconds after the time that it writes down: younger letters wait a little.
COMMITTED_AFTER_SECONDS = 15
PAUSE_TOLERATED_SECONDS = 60
REPEAT_SECONDS = 3600
LONGEST_DETAIL = 500
LATE_EVENT_SECONDS = 300
LATE_LEAD_SECONDS = 900


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why a message was not taken, in words; `retry_after` is what the receiver asks for, in seconds."""

    why: str
    retry_after: float | None = None


Post = Callable[[Mapping[str, object]], NotTaken | None]
Message = dict[str, object]


@dataclass(frozen=True, slots=True)
class Condition:
    """What is told once it has lasted, and told to be over: whether it `holds` now, and both messages, given
    since when it was seen.
    """

    holds: bool
    raised: Callable[[Micros], Message]
    ended: Callable[[Micros], Message]


class Alerts:
    """Looks for what people must know. Any number may run at once, in any process.

    `post` sends one message and returns why it was not taken, or None; without it, alerts are only logged.
    """

    def __init__(self, store: Store, account: str, clock: Clock, post: Post | None) -> None:
        self._store = store
        self._account = account
        self._clock = clock
        self._post = post

    def step(self, stopping: Callable[[], bool]) -> None:
        """Look once, and tell what is news. Returns early, between two messages, when `stopping` says so."""
        with self._store.read() as connection:
            told = alert_rows.told(connection, self._account)
            causes = alert_rows.causes(connection, self._account)
            now = self._clock()
            lasting = _lasting(connection, self._account, now)
        tells: list[Callable[[], None]] = [
            partial(self._tell_letters, kind, code)
            for kind, code in causes
            if (before := told.get(alert_rows.subject_of(kind, code))) is None
            or _may_repeat(before, _told_until(now), now)
        ]
        for subject, condition in lasting.items():
            before = told.get(subject, Told(self._account, subject))
            if before.next_at <= now and _after(before, condition, now) != before:
                tells.append(
                    partial(self.tell_lasting, subject, partial(_lasting_of, self._account, subject))
                )
        one_by_one(takewhile(lambda _: not stopping(), tells), lambda tell: tell())

    def _tell_letters(self, kind: Kind, code: str) -> None:
        now = self._clock()
        until = _told_until(now)
        with self._store.write() as connection:
            told = alert_rows.lock(connection, self._account, alert_rows.subject_of(kind, code))
            news = alert_rows.news_of(
                connection, self._account, kind, code, after=told.told_until, until=until
            )
            if news is None or not _may_repeat(told, until, now):
                return
            alert_rows.save(connection, _claimed(told, now))
        self._tell(_letters_message(news), told, replace(told, told_until=until, next_at=0, failures=0))

    def tell_lasting(
        self, subject: str, condition_at: Callable[[Connection, Micros], Condition | None]
    ) -> None:
        """Tell of what lasts, as it is by now: once it has lasted, then at most once an hour, and its end."""
        now = self._clock()
        with self._store.write() as connection:
            told = alert_rows.lock(connection, self._account, subject)
            condition = condition_at(connection, now)
            if condition is None or told.next_at > now or _after(told, condition, now) == told:
                return
            after = _after(told, condition, now)
            news = after.told_until != told.told_until
            alert_rows.save(connection, _claimed(told, now) if news else after)
        if news:
            message = condition.raised(after.since) if after.since else condition.ended(told.since)
            self._tell(message, told, after)

    def _tell(self, message: Message, before: Told, after: Told) -> None:
        """Post a message whose subject is claimed; `after` is the subject once it is told."""
        failure = self._post(message) if self._post else None
        now = self._clock()
        if failure is not None:
            after = _failed(before, failure, now)
        with self._store.write() as connection:
            alert_rows.lock(connection, self._account, after.subject)
            alert_rows.save(connection, after)
        _report(message, failure, posted=self._post is not None, again_in=(after.next_at - now))


def _told_until(now: Micros) -> Micros:
    return now - COMMITTED_AFTER_SECONDS * MICROS_PER_SECOND


def _may_repeat(told: Told, until: Micros, now: Micros) -> bool:
    return told.next_at <= now and until - told.told_until >= REPEAT_SECONDS * MICROS_PER_SECOND


def _claimed(told: Told, now: Micros) -> Told:
    return replace(told, next_at=now + ALERT_LEASE_SECONDS * MICROS_PER_SECOND)


def _failed(before: Told, failure: NotTaken, now: Micros) -> Told:
    wait = ALERT_RETRY.micros(before.failures, retry_after=failure.retry_after)
    return replace(before, next_at=now + wait, failures=before.failures + 1)


def _lasting(connection: Connection, account: str, now: Micros) -> dict[str, Condition]:
    """By subject, what may last now. While deliveries are paused, nothing is said of leads that are late."""
    pause, ages = budget.current_pause(connection, account), read_ages(connection, account, now)
    paused = _lasts(pause, now)
    event_late = seconds_since(ages.untranslated_since, now) > LATE_EVENT_SECONDS
    found = {
        DELIVERY: Condition(paused, partial(_paused_message, pause), _resumed_message),
        TRANSLATION: Condition(
            event_late, lambda _: _late_message(_LATE_EVENT, ages.untranslated_since), _LATE_EVENT.ended
        ),
    }
    if not paused:
        lead_late = seconds_since(ages.due_since, now) > LATE_LEAD_SECONDS
        found[DUE] = Condition(
            lead_late, lambda _: _late_message(_LATE_LEAD, ages.due_since), _LATE_LEAD.ended
        )
    return found


def _lasting_of(account: str, subject: str, connection: Connection, now: Micros) -> Condition | None:
    return _lasting(connection, account, now).get(subject)


def _after(told: Told, condition: Condition, now: Micros) -> Told:
    """What was told of a condition after a look. Where `told_until` changes there is something to tell."""
    if not condition.holds:
        return Told(told.account, told.subject)
    if not told.since:
        return Told(told.account, told.subject, since=now)
    is_short = now - told.since < PAUSE_TOLERATED_SECONDS * MICROS_PER_SECOND
    if is_short or now - told.told_until < REPEAT_SECONDS * MICROS_PER_SECOND:
        return told
    return Told(told.account, told.subject, since=told.since, told_until=now)


def _lasts(pause: Pause, now: Micros) -> bool:
    """Whether deliveries are paused for more than a moment: by failures in a row, or until long from now.

    That the rate limit's window is used up is no such thing: it passes within seconds.
    """
    return pause.pauses > 0 or pause.until - now > PAUSE_TOLERATED_SECONDS * MICROS_PER_SECOND


# Messages


def _letters_message(news: News) -> Message:
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


def _paused_message(pause: Pause, since: Micros) -> Message:
    detail = pause.reason or "no reason is known"
    cure = (
        "nothing is lost, and it is tried again by itself; if HubSpot refuses the token, set a valid "
        "HUBSPOT_ACCESS_TOKEN and start the workers again"
    )
    text = (
        f"Leadwire: nothing is sent to HubSpot since {_shown(since)}: {harmless(detail)}. "
        f"What to do: {cure}. See: leadwire status"
    )
    return _delivery_message("delivery_paused", text, since, detail[:LONGEST_DETAIL], cure)


def _resumed_message(since: Micros) -> Message:
    text = f"Leadwire: updates are sent to HubSpot again, after a pause since {_shown(since)}."
    return _delivery_message("delivery_resumed", text, since, "", "")


def _delivery_message(alert: str, text: str, since: Micros, detail: str, cure: str) -> Message:
    return {
        "text": text,
        "alert": alert,
        "since": _shown(since),
        "detail": detail,
        "cure": cure,
        "command": "leadwire status",
    }


@dataclass(frozen=True, slots=True)
class _Late:
    """The words for what waits longer than it should; `alert` is the word for its end with `_over`."""

    alert: str
    what: str
    cure: str

    def ended(self, since: Micros) -> Message:
        text = f"Leadwire: {self.what} no longer waits too long, as it did since {_shown(since)}."
        return _delivery_message(f"{self.alert}_over", text, since, "", "")


_LATE_EVENT = _Late(
    "events_late",
    "the oldest untranslated event",
    "see whether workers run, and what their log says with `worker.error` or `store.stuck`; nothing is lost",
)
_LATE_LEAD = _Late(
    "leads_late",
    "the lead that is due longest",
    "see by `leadwire status` whether the budget is used up (then it goes on by itself), else whether "
    "workers run and what their log says; nothing is lost",
)


def _late_message(late: _Late, oldest: Micros | None) -> Message:
    since = oldest or 0
    detail = "no worker got through with it: none runs, each fails on it, or there is more than they can do"
    text = (
        f"Leadwire: {late.what} waits since {_shown(since)}: {detail}. "
        f"What to do: {late.cure}. See: leadwire status"
    )
    return _delivery_message(late.alert, text, since, detail, late.cure)


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


_ENDS = {"delivery_resumed", "events_late_over", "leads_late_over", "mapping_fixed"}


def _report(message: Message, failure: NotTaken | None, *, posted: bool, again_in: Micros) -> None:
    facts = {name: value for name, value in message.items() if name != "text"}
    if failure is not None:
        metrics.ALERTS.labels("failed").inc()
        seconds = again_in // MICROS_PER_SECOND
        text = f"An alert could not be posted: {failure.why}. It is tried again in {seconds} s"
        log_action(log, "alert.failed", text, logging.ERROR, **facts)
        return
    metrics.ALERTS.labels("posted" if posted else "logged").inc()
    if message["alert"] in _ENDS:
        log_action(log, "alert.ended", str(message["text"]), **facts)
    else:
        log_action(log, "alert.raised", str(message["text"]), logging.ERROR, **facts)
