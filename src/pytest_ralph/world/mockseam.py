"""The seam where an HTTP mock answers in place of the network: responses, respx and pytest-httpx.

A mock replaces the client's transport, so what it answers never comes to the simulated services: no fault
and no time is met there. That must be known, or a gate would pass on answers that nobody played. A mock is
watched where it decides what to answer, and only if it is loaded already. What it lets through to the network
is not recorded here. Neither is that declared answers are matched by responses: for that its registry is
asked, not its mock of the client.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from re import Pattern
from typing import Any

from pytest_ralph.core.timeline import Mocked
from pytest_ralph.world.patching import put
from pytest_ralph.world.recorder import Recorder
from pytest_ralph.world.repoint import Undo

Around = Callable[[Any], Any]
Replacements = Iterator[tuple[type, str, Around]]
Counts = Callable[["BaseException | None"], bool]
Asking = Callable[[Any], AbstractContextManager[list[Any]]]


def install(recorder: Recorder) -> Undo:
    """Record what mocks answer from now on. Returns what undoes it."""
    stack = ExitStack()
    for name, watch in _MOCKS.items():
        if (module := sys.modules.get(name)) is not None:
            # Where a mock of another version is made differently, that it answers is not seen.
            with suppress(AttributeError, KeyError):
                for owner, method, around in watch(module, recorder):
                    stack.callback(_wrap(owner, method, around))
    return stack.close


def _wrap(owner: type, name: str, around: Around) -> Undo:
    before = vars(owner)[name]
    function = getattr(before, "__func__", before)
    after = functools.wraps(function)(around(function))
    return put([(owner, name, classmethod(after) if isinstance(before, classmethod) else after)])


class _Asked:
    """A request that a client makes, and a mock is asked to answer.

    Args:
        recorder: Where answers of mocks are written down.
        mock: The mock's name.
        request: The request, of whichever library.
    """

    def __init__(self, recorder: Recorder, mock: str, request: Any) -> None:
        recorder.check()
        self._recorder = recorder
        self._mock = mock
        self._request = request
        self._began = recorder.moment
        self._location = recorder.here()

    def answered(self, status: object = None) -> None:
        """It was the mock that answered, or refused to.

        Args:
            status: The status code of the answer, if it is known and a number.
        """
        self._recorder.next_attempt()
        self._recorder.add(
            Mocked,
            at=self._began,
            mock=self._mock,
            method=str(self._request.method),
            url=str(self._request.url),
            status=status if isinstance(status, int) else None,
            location=self._location,
        )


def _responses(module: Any, recorder: Recorder) -> Replacements:
    def around(original: Any) -> Any:
        def find(self: Any, request: Any) -> Any:
            asked = _Asked(recorder, "responses", request)
            match, reasons = original(self, request)
            if not (_lets_through(self, request.url) if match is None else match.passthrough):
                is_known = isinstance(match, module.Response) and not isinstance(match.body, Exception)
                asked.answered(match.status if is_known else None)
            return match, reasons

        return find

    yield module.RequestsMock, "_find_match", around


def _lets_through(mock: Any, url: str) -> bool:
    """Whether a mock of responses sends on a request that it has no answer for."""
    return any(
        prefix.match(url) if isinstance(prefix, Pattern) else url.startswith(prefix)
        for prefix in mock.passthru_prefixes
    )


def _respx(module: Any, recorder: Recorder) -> Replacements:
    unknown, let_through = module.models.AllMockedAssertionError, module.models.PassThrough

    # One router is asked after the other; what none of them knows is refused.
    def by_router(error: BaseException | None) -> bool:
        return not isinstance(error, (unknown, let_through))

    def by_none(error: BaseException | None) -> bool:
        return isinstance(error, unknown)

    for owner, counts in ((module.router.Router, by_router), (module.mocks.Mocker, by_none)):
        asking = functools.partial(_asking, recorder, "respx", counts)
        yield owner, "handler", functools.partial(_handling, asking)
        yield owner, "async_handler", functools.partial(_handling_async, asking)


def _pytest_httpx(module: Any, recorder: Recorder) -> Replacements:
    # Asked only for what the fixture is to mock; what it has no answer for it refuses.
    asking = functools.partial(_asking, recorder, "pytest-httpx", lambda _: True)
    yield module.HTTPXMock, "_handle_request", functools.partial(_handling, asking)
    yield module.HTTPXMock, "_handle_async_request", functools.partial(_handling_async, asking)


def _handling(asking: Asking, original: Any) -> Any:
    def handle(self: Any, *arguments: Any) -> Any:
        with asking(arguments[-1]) as answers:
            answers.append(original(self, *arguments))
        return answers[0]

    return handle


def _handling_async(asking: Asking, original: Any) -> Any:
    async def handle(self: Any, *arguments: Any) -> Any:
        with asking(arguments[-1]) as answers:
            answers.append(await original(self, *arguments))
        return answers[0]

    return handle


@contextmanager
def _asking(recorder: Recorder, mock: str, counts: Counts, request: Any) -> Generator[list[Any]]:
    """A context in which a mock for httpx is asked; gives where to put its answer.

    Args:
        recorder: Where answers of mocks are written down.
        mock: The mock's name.
        counts: Whether it was the mock that answered or refused to, given what was raised.
        request: The request.
    """
    asked = _Asked(recorder, mock, request)
    answers: list[Any] = []
    raised: BaseException | None = None
    try:
        yield answers
    except BaseException as error:
        raised = error
        raise
    finally:
        if counts(raised):
            asked.answered(answers[0].status_code if answers else None)


_MOCKS: dict[str, Callable[[Any, Recorder], Replacements]] = {
    "responses": _responses,
    "respx": _respx,
    "pytest_httpx": _pytest_httpx,
}
