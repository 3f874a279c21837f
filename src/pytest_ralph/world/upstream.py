"""A simulated service as a test declares it: its healthy answers, its journal and its faults.

Answers are declared and matched by the `responses <https://github.com/getsentry/responses>`_ library; they
are served over real sockets elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from re import Pattern
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from pytest_ralph.core.fault import Answer, Fault, Kind, Request
from pytest_ralph.world.injecting import Injectable, Route

if TYPE_CHECKING:
    from typing_extensions import Self

_PORTS = {"http": 80, "https": 443}
_TEMPLATE = re.compile(r"\{[^{}/]*\}")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Scheme, host and port of a service (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def origin(url: str) -> Origin:
    """Read the origin of a URL.

    Raises:
        ValueError: The URL is not one of a service that can be simulated.
    """
    if not isinstance(url, str):
        raise ValueError(f"ralph_upstream needs a URL such as 'https://api.pay.example', got {url!r}")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(
            f"ralph_upstream needs an http:// or https:// URL such as 'https://api.pay.example', got {url!r}"
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            f"ralph_upstream takes scheme, host and port; declare the path with the answer: got {url!r}"
        )
    return Origin(scheme=parts.scheme, host=parts.hostname.lower(), port=parts.port or _PORTS[parts.scheme])


class NoAnswerError(LookupError):
    """No healthy answer was declared for a request.

    Attributes:
        advice: The line to add.
    """

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Upstream(Injectable):
    """A simulated service.

    Made by the ``ralph_upstream`` fixture. Healthy answers are declared with the vocabulary of the
    ``responses`` library; paths are relative to the service.

    Example:
        >>> api = ralph_upstream("https://api.pay.example")  # doctest: +SKIP
        >>> api.post("/v1/charges", json={"id": "ch_1"}, status=201)  # doctest: +SKIP
    """

    def __init__(
        self, where: Origin, *, faulted: bool = True, changed: Callable[[], None] = lambda: None
    ) -> None:
        import responses

        self._library = responses
        self._mock = responses.RequestsMock(assert_all_requests_are_fired=False)
        self._origin = where
        self._saved: list[Any] = []
        kind = Kind.HTTPS if where.scheme == "https" else Kind.HTTP
        super().__init__(str(where), kind, faulted=faulted, changed=changed)
        self.requests: list[Request] = []
        """The journal: every request that arrived, in order."""

    def __repr__(self) -> str:
        return f"ralph_upstream({str(self._origin)!r})"

    def add(
        self, method: str | Any = None, url: str | Pattern[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Declare a healthy answer, as ``responses.add`` does.

        Args:
            method: The HTTP method, or a ready ``responses.Response``.
            url: Path such as ``/v1/charges``, absolute URL on this service, or compiled pattern.
            *args: Passed to ``responses.add``.
            **kwargs: Passed to ``responses.add``: ``json``, ``body``, ``status``, ``headers``, ``match``...

        Raises:
            ValueError: The URL is not one of this service.
        """
        if isinstance(method, self._library.BaseResponse):
            return self._mock.add(method)
        return self._mock.add(method, self._absolute(url), *args, **kwargs)

    def get(self, url: str | Pattern[str], **kwargs: Any) -> Any:
        """Declare the answer to GET."""
        return self.add("GET", url, **kwargs)

    def post(self, url: str | Pattern[str], **kwargs: Any) -> Any:
        """Declare the answer to POST."""
        return self.add("POST", url, **kwargs)

    def put(self, url: str | Pattern[str], **kwargs: Any) -> Any:
        """Declare the answer to PUT."""
        return self.add("PUT", url, **kwargs)

    def patch(self, url: str | Pattern[str], **kwargs: Any) -> Any:
        """Declare the answer to PATCH."""
        return self.add("PATCH", url, **kwargs)

    def delete(self, url: str | Pattern[str], **kwargs: Any) -> Any:
        """Declare the answer to DELETE."""
        return self.add("DELETE", url, **kwargs)

    def head(self, url: str | Pattern[str], **kwargs: Any) -> Any:
        """Declare the answer to HEAD."""
        return self.add("HEAD", url, **kwargs)

    def options(self, url: str | Pattern[str], **kwargs: Any) -> Any:
        """Declare the answer to OPTIONS."""
        return self.add("OPTIONS", url, **kwargs)

    def add_callback(
        self, method: str, url: str | Pattern[str], callback: Callable[[Any], Any], **kwargs: Any
    ) -> Any:
        """Declare an answer computed from the request, as ``responses.add_callback`` does."""
        return self._mock.add_callback(method, self._absolute(url), callback, **kwargs)

    def use_registry(self, registry: type[Any]) -> None:
        """Match with another registry of ``responses.registries``, such as ``OrderedRegistry``.

        Raises:
            ValueError: Answers were declared already.
        """
        if self._mock.registered():
            raise ValueError("choose the registry before declaring answers")
        self._mock = self._library.RequestsMock(assert_all_requests_are_fired=False, registry=registry)

    def inject(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        method: str | None = None,
        path: str | Pattern[str] | None = None,
    ) -> Self:
        """Show a fault from now on, in place of one injected before for the same requests.

        Faults for different requests are shown side by side; where several are meant for a request, the one
        injected last is shown.

        Args:
            fault: One of ``pytest_ralph.faults``.
            times: How many attempts meet it before the service recovers; None while it lasts.
            method: The HTTP method of the requests it is meant for; None for all.
            path: The path of the requests it is meant for, without a query, or a compiled pattern that it
                matches from its beginning; None for all.

        Returns:
            This service. Used as a context manager it shows at the end of the block what it showed before.

        Raises:
            TypeError: ``fault`` is not a fault.
            ValueError: ``times`` is below 1, ``method`` or ``path`` is none, the fault is for other
                dependencies, or it hits connecting clients and is to be limited to some requests.

        Example:
            >>> with api.inject(ralph.faults.Status(503), path="/v1/charges"):  # doctest: +SKIP
            ...     charge()
        """
        route = None if method is None and path is None else Route(method, path)
        self.show(fault, times, route)
        return self

    def answer(self, request: Request) -> Answer:
        """The healthy answer to a request.

        Raises:
            NoAnswerError: None is declared.
            Exception: What a declared callback raises.
        """
        prepared = self._prepared(request)
        match, reasons = self._mock.get_registry().find(prepared)
        if match is None:
            raise self._no_answer(request, reasons)
        response = match.get_response(prepared)
        match.calls.add_call(self._library.Call(prepared, response))  # type: ignore[arg-type]
        headers = tuple(response.headers.items())
        return Answer(status=response.status, headers=headers, body=response.read(decode_content=False))

    def remember(self) -> None:
        """Keep the answers declared so far, to be put back by `restore`."""
        self._saved = list(self._mock.registered())

    def restore(self) -> None:
        """Make the service what it was at `remember`: same answers, nothing received, no fault."""
        registry = self._mock.get_registry()
        registry.reset()
        for answer in self._saved:
            answer.calls.reset()
            registry.add(answer)
        self.requests.clear()
        self.heal()

    def bookmark(self) -> Callable[[], None]:
        """What forgets the requests that arrive from now on."""
        mark = len(self.requests)
        calls = {id(answer): list(answer.calls) for answer in self._mock.registered()}

        def forget() -> None:
            del self.requests[mark:]
            for answer in self._mock.registered():
                answer.calls.reset()
                for call in calls.get(id(answer), ()):
                    answer.calls.add_call(call)

        return forget

    def _absolute(self, url: str | Pattern[str] | None) -> str | Pattern[str]:
        if isinstance(url, Pattern):
            return self._absolute_pattern(url)
        if isinstance(url, str) and _TEMPLATE.search(url):
            # Clients send braces in percent encoding: such a path would never be asked for.
            instead = f"re.compile({_TEMPLATE.sub('[^/]+', url)!r})"
            raise ValueError(f"{self!r}: a path is no template: write {instead} for any value, got {url!r}")
        if isinstance(url, str) and url.startswith("/"):
            return self.url + url
        if isinstance(url, str) and url.startswith(self.url):
            return url
        raise ValueError(f"{self!r}: expected a path such as '/v1/charges', got {url!r}")

    def _absolute_pattern(self, pattern: Pattern[str]) -> Pattern[str]:
        path = pattern.pattern.removeprefix("^")
        if not path.startswith("/"):
            return pattern
        return re.compile(re.escape(self.url) + path, pattern.flags)

    def _prepared(self, request: Request) -> Any:
        from requests import PreparedRequest

        prepared = PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.url = request.url
        prepared.prepare_headers(dict(request.raw_headers or request.headers))
        form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        prepared.body = request.body.decode("latin-1") if form else request.body
        # What responses' own matchers look at.
        prepared.params = _parameters(request.url)  # type: ignore[attr-defined]
        prepared.req_kwargs = {}  # type: ignore[attr-defined]
        return prepared

    def _no_answer(self, request: Request, reasons: list[str]) -> NoAnswerError:
        declared = self._mock.registered()
        near = [
            f"{each.method} {each.url}: {reason}" for each, reason in zip(declared, reasons, strict=False)
        ]
        path = urlsplit(request.url).path
        advice = f"{request.method.lower()}({path!r}, json={{...}})"
        known = "; declared are " + "; ".join(near) if near else ""
        return NoAnswerError(f"{self!r} has no answer for {request.method} {request.target}{known}", advice)


def _parameters(url: str) -> dict[str, Any]:
    grouped: dict[str, list[str]] = {}
    for key, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        grouped.setdefault(key, []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in grouped.items()}
