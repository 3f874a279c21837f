"""The seam where httpcore begins and leaves the streams of HTTP/2, under httpx and under httpx2.

Two things do not show on the wire. Requests that share a connection are sent by whichever task writes next,
so a stream's own task has to be asked for where it is begun. And a client that does not wait for an answer
any more keeps that to itself: httpcore sends no RST_STREAM, and the connection stays open until its pool is
used again or closed. Clients that do reset their streams are understood without this seam.

Both are read where httpcore does them, in methods that are not public. A test notices when they are gone.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from pytest_ralph.world.line import Sender
from pytest_ralph.world.network import Network
from pytest_ralph.world.patching import wrap
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo
from pytest_ralph.world.scheduler import Scheduler
from pytest_ralph.world.tasks import strand

_CLIENTS = {
    f"{package}.{module}": name
    for package in ("httpcore", "httpcore2")
    for module, name in (("_sync.http2", "HTTP2Connection"), ("_async.http2", "AsyncHTTP2Connection"))
}


class Streams:
    """Tells the network which line of execution begins a stream, and when it leaves it.

    Args:
        network: Who is connected to whom.
        scheduler: Lets the services read what was sent before.
        recorder: Knows the user's lines.
    """

    def __init__(self, network: Network, scheduler: Scheduler, recorder: Recorder) -> None:
        self._network = network
        self._scheduler = scheduler
        self._recorder = recorder
        self._undo: ExitStack | None = None
        self._watched: set[str] = set()

    def install(self) -> Undo:
        """Begin to watch. Returns what undoes it."""
        self._undo = ExitStack()
        self._watched.clear()
        return self._stop

    def look(self) -> None:
        """A client connects: watch the libraries that speak HTTP/2, if any has been asked to by now."""
        if self._undo is None or "h2" not in sys.modules:
            return
        for module, owner in _CLIENTS.items():
            if module.partition(".")[0] in sys.modules and module not in self._watched:
                self._watched.add(module)
                # Where another version is made differently, the wire has to be enough.
                with suppress(ImportError, AttributeError):
                    self._watch(getattr(importlib.import_module(module), owner), self._undo)

    def _stop(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            undo.close()

    def _watch(self, owner: Any, undo: ExitStack) -> None:
        for name, tell in (("_send_request_headers", self._begins), ("_response_closed", self._is_left)):
            undo.callback(wrap(owner, name, functools.partial(_telling, tell=tell)))

    def _begins(self, fd: int, stream: int) -> None:
        # No lock and no call to the system: httpcore is about to use a number that another thread must not
        # take meanwhile, and it has no lock for that either.
        recorder = self._recorder
        location, site = recorder.place()
        sender = Sender(location=location, site=site, thread=strand())
        self._network.stream_begins(fd, stream, sender)

    def _is_left(self, fd: int, stream: int) -> None:
        self._scheduler.settle()
        with self._scheduler.alone():
            self._network.stream_is_left(fd, stream)


def _telling(original: Callable[..., Any], tell: Callable[[int, int], None]) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, *args: Any, stream_id: int, **kwargs: Any) -> Any:
        if (fd := _descriptor(self)) >= 0:
            tell(fd, stream_id)
        return original(self, *args, stream_id=stream_id, **kwargs)

    return method


def _descriptor(connection: Any) -> int:
    """The descriptor of a connection's socket, -1 if there is none any more."""
    sock = connection._network_stream.get_extra_info("socket")
    return -1 if sock is None else int(sock.fileno())
