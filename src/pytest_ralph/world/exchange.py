"""One request being answered: what faults see of it, and how the steps that they choose are taken.

How an answer looks on the wire, and what ends with it, is a matter of the protocol: see `line.Carrier`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pytest_ralph.core.fault import (
    Abort,
    Answer,
    Body,
    Close,
    Fault,
    Head,
    Pause,
    Raw,
    Request,
    Send,
    Step,
)
from pytest_ralph.core.timeline import (
    Abandoned,
    Answered,
    Broken,
    Event,
    FaultMet,
    Performed,
    Requested,
    Unmatched,
)
from pytest_ralph.world.line import Carrier, Host
from pytest_ralph.world.upstream import NoAnswerError, Upstream


class Exchange:
    """One request being answered.

    Args:
        request: The request that arrived.
        upstream: The service that answers.
        attempt: Number of the attempt.
        host: The network.
        carrier: Takes the answer to the client.
        healthy: Gives the healthy answer, if it is not the one declared.
    """

    def __init__(
        self,
        request: Request,
        *,
        upstream: Upstream,
        attempt: int,
        host: Host,
        carrier: Carrier,
        healthy: Callable[[], Answer] | None = None,
    ) -> None:
        self._request = request
        self._upstream = upstream
        self._host = host
        self._carrier = carrier
        self._healthy = healthy or (lambda: upstream.answer(request))
        self._steps: Iterator[Step] = iter(())
        self._sender = host.sender()
        self.attempt = attempt
        self.status = 0
        self.over = False

    # -- what faults see ------------------------------------------------------------------------------

    @property
    def request(self) -> Request:
        """The request that arrived."""
        return self._request

    def healthy(self) -> Answer:
        """The answer declared for it; its effects happen now."""
        answer = self._healthy()
        self._record(Performed, status=answer.status)
        return answer

    # -- how it goes ----------------------------------------------------------------------------------

    @property
    def thread(self) -> int:
        """The line of execution that sent the request."""
        return self._sender.thread

    def begin(self, fault: Fault | None) -> None:
        """Begin to answer, in the way of a fault if there is one."""
        request = self._request
        self._upstream.requests.append(request)
        self._record(
            Requested,
            site=self._sender.site,
            method=request.method,
            target=request.target,
            headers=request.headers,
            body=request.body,
        )
        if fault is not None:
            self._host.record(FaultMet, upstream=self._upstream.url, fault=repr(fault), attempt=self.attempt)
        self._steps = self._choose(fault)
        self._go_on()

    def answered(self) -> None:
        """The last byte of the answer is out."""
        self._end(Answered, status=self.status)

    def broken(self, how: str | None = None) -> None:
        """The service has broken off, in the way told."""
        cut = "answer cut short" if self.status else "connection closed without an answer"
        self._end(Broken, how=how or cut)

    def abandoned(self) -> None:
        """The client has given up."""
        self._end(Abandoned)

    def _end(self, kind: type[Event], **fields: object) -> None:
        if not self.over:
            self.over = True
            self._record(kind, **fields)

    def _record(self, kind: type[Event], **fields: object) -> None:
        self._host.record(
            kind,
            upstream=self._upstream.url,
            attempt=self.attempt,
            location=self._sender.location,
            thread=self._sender.thread,
            **fields,
        )

    # -- the steps ------------------------------------------------------------------------------------

    def _choose(self, fault: Fault | None) -> Iterator[Step]:
        if fault is not None and fault.connect_stage:
            yield Abort()
            return
        try:
            steps = iter((fault or Fault()).on_request(self))
            first = next(steps)
        except NoAnswerError as error:
            yield Send(answer=self._no_answer(error))
            return
        except Exception as error:  # noqa: BLE001 - a declared callback may raise: the service breaks
            yield self._fail(error)
            return
        delay = self._host.take_delay()
        if delay:
            yield Pause(seconds=delay)
        yield first
        try:
            yield from steps
        except Exception as error:  # noqa: BLE001 - so may a fault of somebody else's
            yield self._fail(error)

    def _no_answer(self, error: NoAnswerError) -> Answer:
        advice = f"{self._upstream!r}.{error.advice}"
        self._host.record(
            Unmatched,
            upstream=self._upstream.url,
            request=f"{self._request.method} {self._request.target}",
            advice=advice,
        )
        return Answer(status=501, body=f"pytest-ralph: {error}. Add {advice}\n".encode())

    def _fail(self, error: Exception) -> Step:
        self.broken(f"service raised {type(error).__name__}: {error}")
        return Abort()

    def _go_on(self) -> None:
        """Take the next steps of the answer, as far as they go at this moment."""
        for step in self._steps:
            if not self._take(step):
                return
        self._carrier.complete()

    def _take(self, step: Step) -> bool:
        """Take one step. Returns whether another may follow at once."""
        carrier = self._carrier
        if isinstance(step, Send):
            self._head(step.answer)
            carrier.body(step.answer.body)
        elif isinstance(step, Head):
            self._head(step.answer, step.length)
        elif isinstance(step, Body):
            carrier.body(step.data)
        elif isinstance(step, Raw):
            carrier.raw(step.data)
        elif isinstance(step, Close):
            carrier.cut()
            return False
        else:
            carrier.flush()
            if isinstance(step, Pause):
                self._host.later(step.seconds, self._wake_up)
            elif isinstance(step, Abort):
                carrier.reset()
            return False
        return True

    def _head(self, answer: Answer, length: int | None = None) -> None:
        self.status = answer.status
        self._carrier.head(self._request, answer, length)

    def _wake_up(self) -> None:
        if not self.over:
            self._go_on()
