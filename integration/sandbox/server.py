"""Serves the stand-in over HTTP in this process: quiet, with connections that stay open."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Any, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from integration.clock import Clock, now
from integration.errors import LeadwireError
from integration.sandbox.app import create_sandbox
from integration.settings import RateLimit

_BACKLOG = 512


class SandboxError(LeadwireError):
    """The stand-in cannot be served; the message says why."""


class SandboxServer:
    """A stand-in that is being served by a thread of its own, until `close`."""

    def __init__(self, server: BaseWSGIServer, connections: set[socket.socket]) -> None:
        self._server = server
        self._connections = connections
        self._thread = threading.Thread(target=server.serve_forever, name="sandbox", daemon=True)
        self._thread.start()
        self.port = server.port
        self.url = f"http://{server.host}:{server.port}"

    def wait(self) -> None:
        """Return when the stand-in is closed, by another thread or a signal handler."""
        self._thread.join()

    def close(self) -> None:
        """Stop serving, and cut the connections that are open."""
        self._server.shutdown()
        self._thread.join()
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_sandbox(
    port: int,
    rate_limit: RateLimit | None = None,
    *,
    host: str = "127.0.0.1",
    access_token: str | None = None,
    clock: Clock = now,
) -> SandboxServer:
    """Serve a new stand-in on `port` (0: any that is free); returns as soon as it can be reached.

    Raises SandboxError if the port cannot be had.
    """
    connections: set[socket.socket] = set()
    app = create_sandbox(rate_limit, clock, access_token)
    with _listen(host, port) as listener:
        server = make_server(
            host, port, app, threaded=True, request_handler=_handler(connections), fd=listener.fileno()
        )
    return SandboxServer(server, connections)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        message = f"the sandbox cannot listen on {host}:{port}: {error}; choose another --port"
        raise SandboxError(message) from error


def _handler(connections: set[socket.socket]) -> type[WSGIRequestHandler]:
    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def send_header(self, keyword: str, value: str) -> None:
            """Leave out werkzeug's `Connection: close`.

            It is there because an app may leave a body unread; the stand-in reads every body.
            """
            if (keyword, value) != ("Connection", "close"):
                super().send_header(keyword, value)

        def setup(self) -> None:
            super().setup()
            connections.add(self.connection)

        def finish(self) -> None:
            connections.discard(self.connection)
            super().finish()

        def log(self, type: str, message: str, *args: Any) -> None:
            """Log nothing: the URL holds the token, and the requests can be read under `/_sandbox`."""

    return Handler
