"""Serves the stand-in over HTTP from a thread of its own: quiet, with connections that stay open.

gevent's server, because werkzeug's ends the connection after each request (its 3.1 does so on purpose).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import gevent
from gevent.event import Event
from gevent.hub import get_hub
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from gevent.socket import socket as gevent_socket

from integration.core.clock import Clock, now
from integration.core.errors import LeadwireError
from integration.core.settings import RateLimit
from integration.sandbox.contact_store import Property
from integration.sandbox.control import SOCKET_KEY, create_sandbox

_BACKLOG = 512


class SandboxError(LeadwireError):
    """The stand-in cannot be served; the message says why."""


class SandboxServer:
    """A stand-in that is being served until `close`. Also a context manager."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        host, self.port = listener.getsockname()[:2]
        self.url = f"http://{host}:{self.port}"
        self._app = app
        self._ready = threading.Event()
        self._stop: Any = None
        self._thread = threading.Thread(
            target=self._serve, args=(listener.detach(),), name="sandbox", daemon=True
        )
        self._thread.start()
        self._ready.wait()

    def wait(self) -> None:
        """Return when the stand-in is closed, by another thread or a signal handler."""
        self._thread.join()

    def close(self) -> None:
        """Stop serving, and cut the connections that are open. May be called again."""
        if self._thread.is_alive():
            self._stop.send()
            self._thread.join()

    def _serve(self, listener: int) -> None:
        hub = get_hub()
        stopped = Event()
        self._stop = hub.loop.async_()  # the one gevent object that another thread may touch
        self._stop.start(stopped.set)
        server = WSGIServer(
            gevent_socket(fileno=listener),
            self._app,
            spawn=Pool(),  # so that stopping ends the open connections too
            log=None,
            error_log=None,
            handler_class=_Handler,
        )
        server.start()
        self._ready.set()
        stopped.wait()
        server.stop(timeout=0)
        hub.destroy(destroy_loop=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Handler(WSGIHandler):  # type: ignore[misc]  # gevent ships no types
    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), SOCKET_KEY: self.socket}


def run_sandbox(
    port: int,
    rate_limit: RateLimit | None = None,
    *,
    host: str = "127.0.0.1",
    access_token: str | None = None,
    clock: Clock = now,
    properties: Sequence[Property] = (),
) -> SandboxServer:
    """Serve a new stand-in on `port` (0: any that is free); returns as soon as it can be reached.

    Raises SandboxError if the port cannot be had.
    """
    app = create_sandbox(rate_limit, clock, access_token, gevent.sleep, properties)
    return SandboxServer(app, _listen(host, port))


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        message = f"the sandbox cannot listen on {host}:{port}: {error}; choose another --port"
        raise SandboxError(message) from error
