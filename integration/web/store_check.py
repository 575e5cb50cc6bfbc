"""A look at the store when the web processes start: says what waiting cannot cure, and waits for nothing."""

from __future__ import annotations

from integration.core.errors import LeadwireError
from integration.store.engine import Store, StoreRefusedError
from integration.store.patience import patiently
from integration.store.schema import require_current


def refusal(database_url: str) -> str:
    """Why the store can never be used by this address; "" if it can, or may be later, which the log tells."""
    store = Store(database_url, pool_size=1)
    try:
        patiently(lambda: require_current(store), lambda _: True)
    except StoreRefusedError as error:
        return str(error)
    except LeadwireError:
        return ""
    finally:
        store.dispose()
    return ""
