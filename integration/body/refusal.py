"""How a body is refused."""

from __future__ import annotations

from typing import NoReturn

from integration.core.errors import LeadwireError


class MalformedBody(LeadwireError):  # noqa: N818 - says what is wrong, as the problem's title does
    """A body that cannot be read: the HTTP status (400, 413 or 415), a stable code, and what is wrong."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def refuse(detail: str) -> NoReturn:
    """Raise the 400 that says what is wrong with the body."""
    raise MalformedBody(400, "malformed_body", detail)
