"""A HubSpot that answers 200 to everything at once: it must not be what limits a measurement.

It keeps the bodies of PUTs: `GET /received` gives their number, the time of the last, and each lead's fields.
Usage: python bench/fast_standin.py PORT
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
bodies: list[bytes] = []
last = [0.0]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"GET /received"):
                writer.write(received())
                continue
            length = next(
                (
                    int(line[15:])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            bodies.append(await reader.readexactly(length))
            last[0] = time.time()
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def received() -> bytes:
    leads: dict[str, dict[str, object]] = {}
    for body in bodies:
        fields = json.loads(body)
        leads.setdefault(fields.pop("guid"), {}).update(fields)
    content = json.dumps({"requests": len(bodies), "last": last[0], "leads": leads}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
