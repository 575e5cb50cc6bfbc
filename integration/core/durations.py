"""How long Leadwire is patient: every back-off, lease and time to give up, each with its reason.

A lease is how long what one worker took is its own. It must be longer than the work, or two do it; while it
lasts nobody takes over from a worker that died, so it must not be much longer.
"""

from __future__ import annotations

from integration.core.backoff import Backoff

_DAY = 24 * 3600.0

# A lead's request that failed. Three days outlast a weekend, which is how long a token may stay wrong.
LEAD_RETRY = Backoff(first=1.0, longest=3600.0, give_up=3 * _DAY, jitter=0.5)
# Leads are often created after the payment: one that is not there yet is looked for for a day.
LEAD_NOT_FOUND = Backoff(first=60.0, longest=3600.0, give_up=_DAY, jitter=0.5)
# All deliveries to HubSpot, after an answer that is about the account. One request then shows how it is.
DELIVERY_PAUSE = Backoff(first=5.0, longest=300.0)
# An event that waits for its source's API: as long as a lead for HubSpot.
FETCH_RETRY = Backoff(first=1.0, longest=3600.0, give_up=3 * _DAY, jitter=0.5)
# All that is fetched from one source's API. Five minutes, so that an API that is back is soon in use.
SOURCE_PAUSE = Backoff(first=1.0, longest=300.0, jitter=0.5)
# A message to the alert webhook. It is never given up: people must know.
ALERT_RETRY = Backoff(first=30.0, longest=900.0)
# Another worker links the same leads at this moment, which takes milliseconds; sixteen tries are 25 s.
LINK_RETRY = Backoff(first=0.01, longest=5.0)
LINK_TRIES = 16
# A process that ended: at once after a steady run, not in a circle if it cannot start.
PROCESS_RESTART = Backoff(first=1.0, longest=30.0)
# A process that finds no database, or none that is up to date: it looks again soon, and for ever.
STORE_RETRY = Backoff(first=0.25, longest=5.0)
TOKEN_RETRY_SECONDS = 5  # nobody asks for a token again so soon after it was refused

TRANSLATION_LEASE_SECONDS = 10  # not renewed: a batch takes a part of a second
DELIVERY_LEASE_SECONDS = 10  # renewed every few seconds while a request is on its way
FETCH_LEASE_SECONDS = 90  # not renewed: three times what one request may take
TOKEN_LEASE_SECONDS = 45  # not renewed: longer than the request for a token can take
ALERT_LEASE_SECONDS = 60  # not renewed: longer than any post takes
