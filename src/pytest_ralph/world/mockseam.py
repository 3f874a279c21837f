"""The seam where an HTTP mock answers in place of the network: responses, respx and pytest-httpx.

A mock replaces the client's transport, so what it answers never comes to the simulated services: no fault and
no time is met there. That must be known, or a gate would pass on answers that nobody played. A mock is watched
where it decides what to answer, and only if it is loaded already. What it lets through to the network is not
recorded here, and neither is that declared answers are matched by responses as well: for that its registry is
asked, not its mock of the client.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from re import Pattern
from typing import Any

from pytest_ralph.core.timeline import Mocked
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo

Around = Callable[[Any], Any]
Counts = Callable[["BaseException | None"], bool]


def install(recorder: Recorder) -> Undo:
    """Record what mocks answer from now on. Returns what undoes it."""
    stack = ExitStack()
    for name, watch in _MOCKS.items():
        if (module := sys.modules.get(name)) is not None:
            for owner, method, around in watch(module, recorder):
                if method in vars(owner):
                    stack.callback(_wrap(owner, method, around))
    return stack.close


def _wrap(owner: type, name: str, around: Around) -> Undo:
    before = vars(owner)[name]
    function = getattr(before, "__func__", before)
    after = functools.wraps(function)(around(function))
    setattr(owner, name, classmethod(after) if isinstance(before, classmethod) else after)
    return lambda: setattr(owner, name, before)


@contextmanager
def _asking(recorder: Recorder, mock: str, request: Any, counts: Counts) -> Generator[None]:
    """A context in which a mock is asked for an answer.

    Args:
        recorder: Where answers of mocks are written down.
        mock: Its name.
        request: The request, of whichever library.
        counts: Whether the mock has answered, or refused to, given what it raised.
    """
    recorder.check()
    began, location = recorder.moment, recorder.here()
    raised: BaseException | None = None
    try:
        yield
    except BaseException as error:
        raised = error
        raise
    finally:
        if counts(raised):
            method, url = str(request.method), str(request.url)
            recorder.add(Mocked, at=began, mock=mock, method=method, url=url, location=location)


def _responses(module: Any, recorder: Recorder) -> Iterator[tuple[type, str, Around]]:
    def around(original: Any) -> Any:
        def find(self: Any, request: Any) -> Any:
            found = []

            def is_answer(error: BaseException | None) -> bool:
                match = found[0] if found else None
                return not (_lets_through(self, request.url) if match is None else match.passthrough)

            with _asking(recorder, "responses", request, is_answer):
                match, reasons = original(self, request)
                found.append(match)
            return match, reasons

        return find

    yield module.RequestsMock, "_find_match", around


def _lets_through(mock: Any, url: str) -> bool:
    """Whether a mock of responses sends on a request that it has no answer for."""
    return any(
        prefix.match(url) if isinstance(prefix, Pattern) else url.startswith(prefix)
        for prefix in mock.passthru_prefixes
    )


def _respx(module: Any, recorder: Recorder) -> Iterator[tuple[type, str, Around]]:
    unknown, let_through = module.models.AllMockedAssertionError, module.models.PassThrough

    def around(counts: Counts) -> Around:
        def sync(original: Any) -> Any:
            def handler(self: Any, request: Any) -> Any:
                with _asking(recorder, "respx", request, counts):
                    return original(self, request)

            return handler

        return sync

    def around_async(counts: Counts) -> Around:
        def asynchronous(original: Any) -> Any:
            async def handler(self: Any, request: Any) -> Any:
                with _asking(recorder, "respx", request, counts):
                    return await original(self, request)

            return handler

        return asynchronous

    # One router is asked after the other; what none of them knows is refused.
    def by_router(error: BaseException | None) -> bool:
        return not isinstance(error, (unknown, let_through))

    def by_none(error: BaseException | None) -> bool:
        return isinstance(error, unknown)

    for owner, counts in ((module.router.Router, by_router), (module.mocks.Mocker, by_none)):
        yield owner, "handler", around(counts)
        yield owner, "async_handler", around_async(counts)


def _pytest_httpx(module: Any, recorder: Recorder) -> Iterator[tuple[type, str, Around]]:
    # Asked only for what the fixture is to mock; what it has no answer for it refuses.
    def around(original: Any) -> Any:
        def handle(self: Any, transport: Any, request: Any) -> Any:
            with _asking(recorder, "pytest-httpx", request, lambda _: True):
                return original(self, transport, request)

        return handle

    yield module.HTTPXMock, "_handle_request", around
    yield module.HTTPXMock, "_handle_async_request", around


_MOCKS: dict[str, Callable[[Any, Recorder], Iterator[tuple[type, str, Around]]]] = {
    "responses": _responses,
    "respx": _respx,
    "pytest_httpx": _pytest_httpx,
}
