"""A sender of webhooks: many at once over kept connections, in order, each answered or given up."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator, Sequence

TIMEOUT_SECONDS = 10.0  # senders wait for 5 to 30 s
PAUSE_SECONDS = 0.2


def request(body: bytes, secret: str, port: int, path: str) -> bytes:
    """A signed POST as it goes over the wire."""
    now = int(time.time())
    digest = hmac.new(secret.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: t={now},v1={digest}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def send_all(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    until_accepted: bool = False,
    on_answer: Callable[[int], None] | None = None,
) -> tuple[list[int], float]:
    """The status of each request (0: no answer in time), and how many seconds all took.

    With `until_accepted` each is sent again until it is accepted, as senders do in the end. `on_answer` is
    told how many have been accepted so far.
    """
    statuses = [0] * len(requests)
    waiting = iter(range(len(requests)))
    accepted = 0

    async def one() -> None:
        nonlocal accepted
        connection = _Connection(port)
        for number in waiting:
            while True:
                statuses[number] = await connection.send(requests[number])
                if statuses[number] == 200:
                    accepted += 1
                    if on_answer is not None:
                        on_answer(accepted)
                if statuses[number] == 200 or not until_accepted:
                    break
                await asyncio.sleep(PAUSE_SECONDS)

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(connections)))

    started = time.perf_counter()
    asyncio.run(all_of_them())
    return statuses, time.perf_counter() - started


class _Connection:
    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> int:
        was_kept = self._streams is not None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._send(request)
        except (OSError, EOFError, TimeoutError) as error:
            if self._streams:
                self._streams[1].close()
            self._streams = None
            if was_kept and not isinstance(error, TimeoutError):
                return await self.send(
                    request
                )  # the server had closed it meanwhile: once more, as all clients do
            return 0

    async def _send(self, request: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        await reader.readexactly(int(_header(lines, b"content-length") or 0))
        if _header(lines, b"connection") == b"close":
            writer.close()
            self._streams = None
        return int(head.split(b" ", 2)[1])


def _header(lines: Sequence[bytes], name: bytes) -> bytes | None:
    found: Iterator[bytes] = (
        line.partition(b":")[2].strip() for line in lines if line.startswith(name + b":")
    )
    return next(found, None)
