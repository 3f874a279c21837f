"""Payment clients that say what they do in every way there is to log, and some that do it carelessly."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import queue
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import orjson
import requests
import structlog
from loguru import logger as loguru_logger
from pythonjsonlogger.json import JsonFormatter

URL = "http://api.pay.example/v1/charges"
TOKEN = "tok_visa"

Emit = Callable[..., None]


def charge(emit: Emit) -> None:
    """Charge a card, and tell of it once, whatever happens.

    Args:
        emit: Logs at a level, under a name, with fields.
    """
    began = time.monotonic()
    fields: dict[str, Any] = {"payment_id": "pay_1", "amount": 100, "gateway": {"name": "stripe"}}
    emit("debug", "charge_entered", amount=100, currency="usd")
    try:
        answer = requests.post(URL, json={}, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)
        answer.raise_for_status()
    except requests.RequestException:
        emit("exception", "charge_failed", **fields)
        emit("info", "payment_attempted", **fields, duration_ms=_since(began), outcome="failure")
        raise
    if time.monotonic() - began > 2:
        emit("warning", "gateway_slow", **fields)
    emit("info", "payment_attempted", **fields, duration_ms=_since(began), outcome="success")


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000


# -- structlog ----------------------------------------------------------------------------------------------


def _processors(renderer: Any) -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        renderer,
    ]


def _emit_by_method(logger: Any) -> Emit:
    return lambda level, event, **fields: getattr(logger, level)(event, **fields)


def structlog_print() -> None:
    """The usual chain."""
    renderer = structlog.processors.JSONRenderer()
    charge(_emit_by_method(structlog.wrap_logger(structlog.PrintLogger(), _processors(renderer))))


def structlog_bytes() -> None:
    """The fast chain: orjson, and bytes to the buffer of standard output."""
    renderer = structlog.processors.JSONRenderer(serializer=orjson.dumps)
    logger = structlog.BytesLogger(sys.stdout.buffer)
    charge(_emit_by_method(structlog.wrap_logger(logger, _processors(renderer))))


_cached: Any = None


def structlog_cached() -> None:
    """One logger for good, with bound context, that keeps its methods."""
    global _cached
    if _cached is None:
        structlog.configure(
            processors=_processors(structlog.processors.JSONRenderer()),
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
            logger_factory=structlog.WriteLoggerFactory(),
            cache_logger_on_first_use=True,
        )
        _cached = structlog.get_logger()
    charge(_emit_by_method(_cached))


def structlog_into_logging() -> None:
    """Structlog in front, a formatter of structlog's at the end, the standard library between."""
    chain = _processors(structlog.stdlib.ProcessorFormatter.wrap_for_formatter)
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ]
    )
    logger = structlog.wrap_logger(
        _logger("stdlib", formatter), chain, wrapper_class=structlog.stdlib.BoundLogger
    )
    charge(_emit_by_method(logger))


# -- the standard library -----------------------------------------------------------------------------------


def _logger(name: str, formatter: logging.Formatter, *, propagate: bool = True) -> logging.Logger:
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logger = logging.getLogger(f"subject.{name}")
    logger.handlers = [handler]
    logger.propagate = propagate
    logger.setLevel(logging.DEBUG)
    return logger


def _emit_with_extra(logger: logging.Logger) -> Emit:
    return lambda level, event, **fields: getattr(logger, level)(event, extra=fields)


def _json_formatter(form: str = "%(levelname)s %(name)s %(message)s") -> logging.Formatter:
    return JsonFormatter(form)


def json_logger() -> None:
    """python-json-logger, and fields in extra."""
    charge(_emit_with_extra(_logger("json", _json_formatter())))


def not_propagated() -> None:
    """A logger that keeps its records from the root."""
    charge(_emit_with_extra(_logger("own", _json_formatter(), propagate=False)))


AT_IMPORT = _logger("import", logging.Formatter('{"event": "%(message)s", "level": "%(levelname)s"}'))


def set_up_at_import() -> None:
    """A handler from before any test, that writes to what standard error was then."""
    AT_IMPORT.info("payment_attempted")
    requests.post(URL, json={}, timeout=5).raise_for_status()


def queued() -> None:
    """A queue, whose listener writes in a thread of its own."""
    records: queue.Queue[Any] = queue.Queue(-1)
    writer = logging.StreamHandler()
    writer.setFormatter(_json_formatter())
    listener = logging.handlers.QueueListener(records, writer)
    logger = logging.getLogger("subject.queued")
    logger.handlers = [logging.handlers.QueueHandler(records)]
    logger.setLevel(logging.DEBUG)
    listener.start()
    try:
        charge(_emit_with_extra(logger))
    finally:
        listener.stop()


_records: queue.SimpleQueue[Any] = queue.SimpleQueue()
_listener: list[logging.handlers.QueueListener] = []


def queued_for_good() -> None:
    """A queue whose listener is never stopped, as in a service."""
    if not _listener:
        writer = logging.StreamHandler()
        writer.setFormatter(_json_formatter())
        _listener.append(logging.handlers.QueueListener(_records, writer))
        _listener[0].start()
    logger = logging.getLogger("subject.queued_for_good")
    logger.handlers = [logging.handlers.QueueHandler(_records)]
    logger.setLevel(logging.DEBUG)
    charge(_emit_with_extra(logger))


class OwnFormat(logging.StreamHandler):  # type: ignore[type-arg]
    """A handler that formats by itself."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
        stack = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else None
        known = vars(logging.makeLogRecord({}))
        extra = {name: value for name, value in vars(record).items() if name not in known}
        return json.dumps(
            {"event": record.getMessage(), "severity": record.levelname, "stack": stack, **extra}
        )


class OwnPrint(logging.Handler):
    """A handler that formats nothing and prints."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one JSON object."""
        print(OwnFormat().format(record))


def own_format() -> None:
    """A handler's own format."""
    logger = logging.getLogger("subject.own_format")
    logger.handlers = [OwnFormat()]
    logger.setLevel(logging.DEBUG)
    charge(_emit_with_extra(logger))


def own_print() -> None:
    """A handler that prints."""
    logger = logging.getLogger("subject.own_print")
    logger.handlers = [OwnPrint()]
    logger.setLevel(logging.DEBUG)
    charge(_emit_with_extra(logger))


# -- loguru, and no library at all --------------------------------------------------------------------------


def _loguru(**options: Any) -> Emit:
    loguru_logger.remove()
    options = {"level": "DEBUG", "serialize": True, "diagnose": False, **options}
    loguru_logger.add(lambda message: None, **options)
    return lambda level, event, **fields: getattr(loguru_logger.bind(**fields), level)(event)


def loguru_serialized() -> None:
    """What loguru makes JSON of."""
    charge(_loguru())


def loguru_enqueued() -> None:
    """The same from a thread."""
    try:
        charge(_loguru(enqueue=True))
    finally:
        loguru_logger.remove()


def printed() -> None:
    """JSON by hand, to standard output."""

    def emit(level: str, event: str, **fields: Any) -> None:
        stack = traceback.format_exc() if level == "exception" else None
        shown = "error" if level == "exception" else level
        print(json.dumps({"event": event, "level": shown, "stack": stack, **fields}))

    charge(emit)


def printed_bytes() -> None:
    """JSON by hand, as bytes to the buffer of standard error."""

    def emit(level: str, event: str, **fields: Any) -> None:
        stack = traceback.format_exc() if level == "exception" else None
        shown = "error" if level == "exception" else level
        line = json.dumps({"event": event, "level": shown, "stack": stack, **fields})
        sys.stderr.buffer.write(line.encode() + b"\n")

    charge(emit)


def logfmt() -> None:
    """Pairs."""
    renderer = structlog.processors.LogfmtRenderer()

    def emit(level: str, event: str, **fields: Any) -> None:
        fields.pop("gateway", None)
        logger = structlog.wrap_logger(structlog.PrintLogger(), _processors(renderer))
        getattr(logger, level)(event, **fields)

    charge(emit)


def prose() -> None:
    """Sentences, with a formatter that shows the level."""
    logger = _logger("prose", logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(level: str, event: str, **fields: Any) -> None:
        pairs = " ".join(f"{name}={value}" for name, value in fields.items())
        getattr(logger, level)(f"{event} {pairs}")

    charge(emit)


# -- careless -----------------------------------------------------------------------------------------------


def _logger_of_structlog() -> Any:
    return structlog.wrap_logger(structlog.PrintLogger(), _processors(structlog.processors.JSONRenderer()))


def _post(**options: Any) -> None:
    requests.post(URL, json={}, timeout=5, **options).raise_for_status()


def only_on_success() -> None:
    """An exception skips the line."""
    _post()
    _logger_of_structlog().info("payment_attempted", payment_id="pay_1", outcome="success")


def under_another_name() -> None:
    """A name that nobody looks for."""
    log = _logger_of_structlog()
    log.info("Payment attempted", payment_id="pay_1")
    _post()


def filtered_out() -> None:
    """The handler of production hides what is logged."""
    logger = _logger("filtered", _json_formatter())
    logger.handlers[0].setLevel(logging.WARNING)
    logger.info("payment_attempted", extra={"payment_id": "pay_1"})
    logger.warning("something_else")
    _post()


def at_info() -> None:
    """A failure that nobody is woken for."""
    log = _logger_of_structlog()
    try:
        _post()
    except requests.RequestException:
        log.info("payment_failed", payment_id="pay_1", exc_info=True)
        raise


def without_level() -> None:
    """What python-json-logger writes as it comes: no level."""
    logger = _logger("bare", _json_formatter("%(message)s"))
    logger.info("payment_attempted", extra={"payment_id": "pay_1"})
    _post()


def extra_not_written() -> None:
    """Fields that the formatter leaves out."""
    form = logging.Formatter('{"event": "%(message)s", "level": "%(levelname)s"}')
    _logger("lost", form).info("payment_attempted", extra={"payment_id": "pay_1"})
    _post()


def missing_when_it_fails() -> None:
    """The id is only known when all is well."""
    log = _logger_of_structlog()
    try:
        _post()
        log.info("payment_attempted", payment_id="pay_1")
    except requests.RequestException:
        log.info("payment_attempted", exc_info=True)
        raise


def wrong_types() -> None:
    """Numbers as text."""
    log = _logger_of_structlog()
    log.info("payment_attempted", duration_ms="12 ms", outcome="maybe", gateway={"name": None})
    _post()


def claims_success() -> None:
    """The outcome is written before it is known, and the failure in a line of its own."""
    log = _logger_of_structlog()
    try:
        _post()
    except requests.RequestException:
        log.exception("payment_broken")
        raise
    finally:
        log.info("payment_attempted", outcome="success")


def not_json() -> None:
    """The formatter of every tutorial."""
    logger = _logger("plain", logging.Formatter("%(levelname)s %(message)s payment_id=pay_1"))
    logger.info("payment_attempted")
    _post()


def breaks_the_line() -> None:
    """JSON made by hand: the stack ends the object."""
    form = logging.Formatter('{"event": "%(message)s", "level": "%(levelname)s", "payment_id": "pay_1"}')
    logger = _logger("by_hand", form)
    logger.info("payment_attempted")
    try:
        _post()
    except requests.RequestException:
        logger.exception("charge_failed")
        raise


def pretty() -> None:
    """JSON for people, over many lines."""
    renderer = structlog.processors.JSONRenderer(indent=2)
    log = structlog.wrap_logger(structlog.PrintLogger(), _processors(renderer))
    log.info("payment_attempted", payment_id="pay_1")
    _post()


def not_a_number() -> None:
    """NaN, which Python writes and nobody else reads."""
    log = _logger_of_structlog()
    log.info("payment_attempted", payment_id="pay_1", duration_ms=float("nan"))
    _post()


def prints_too() -> None:
    """A print that was left in."""
    log = _logger_of_structlog()
    log.info("payment_attempted", payment_id="pay_1")
    print("charging", 100)
    _post()


def nothing_set_up() -> None:
    """A logger that nobody has set up."""
    logging.getLogger("subject.nobody").warning("payment_attempted", extra={"payment_id": "pay_1"})
    _post()


def no_stack() -> None:
    """The text of the error, and not where it came from."""
    log = _logger_of_structlog()
    try:
        _post()
        log.info("payment_attempted", payment_id="pay_1")
    except requests.RequestException as error:
        log.error("payment_attempted", payment_id="pay_1", error=str(error))
        raise


def no_processor_for_stacks() -> None:
    """A chain that renders exc_info as true."""
    chain: list[Any] = [structlog.processors.add_log_level, structlog.processors.JSONRenderer()]
    log = structlog.wrap_logger(structlog.PrintLogger(), chain)
    log.info("payment_attempted", payment_id="pay_1")
    try:
        _post()
    except requests.RequestException:
        log.exception("charge_failed")
        raise


def swallowed() -> None:
    """A failure that nobody hears of."""
    log = _logger_of_structlog()
    try:
        _post()
    except requests.RequestException:
        pass
    log.info("payment_attempted", payment_id="pay_1")


def logged_after_the_fact() -> None:
    """The error is kept, and logged where its stack is gone."""
    log = _logger_of_structlog()
    failure = None
    try:
        _post()
    except requests.RequestException as error:
        failure = error
    if failure is not None:
        log.error("charge_failed", error=str(failure))
    log.info("payment_attempted", payment_id="pay_1")


def degraded() -> None:
    """A fallback, and a warning that tells of it."""
    log = _logger_of_structlog()
    try:
        _post()
    except requests.RequestException as error:
        log.warning("serving_cached_rate", reason=str(error))
    log.info("payment_attempted", payment_id="pay_1")


def secret_in_a_field() -> None:
    """The whole request, headers included."""
    headers = {"Authorization": "Bearer sk_live_51HqLyjWDarjtT1"}
    _logger_of_structlog().info("payment_attempted", payment_id="pay_1", headers=headers)
    _post(headers=headers)


def secret_declared() -> None:
    """The token that the caller passed."""
    _logger_of_structlog().info("payment_attempted", payment_id="pay_1", source=TOKEN)
    _post()


def secret_in_the_url() -> None:
    """A key in the URL, which every exception of the client shows."""
    _logger_of_structlog().info("payment_attempted", payment_id="pay_1")
    _post(params={"api_key": "sk_live_51HqLyjWDarjtT1"})


def secret_in_locals() -> None:
    """Tracebacks with local variables."""
    chain: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.dict_tracebacks,
        structlog.processors.JSONRenderer(),
    ]
    log = structlog.wrap_logger(structlog.PrintLogger(), chain)
    token = TOKEN
    log.info("payment_attempted", payment_id="pay_1")
    try:
        _post(headers={"X-Source": token})
    except requests.RequestException:
        log.exception("charge_failed")
        raise


def secret_in_a_diagnosis() -> None:
    """What loguru shows of every value in a traceback, unless it is told not to."""
    charge(_loguru(diagnose=True))


def secret_in_a_line_of_code() -> None:
    """A traceback that shows a line of code with the token in it."""
    log = _logger_of_structlog()
    log.info("payment_attempted", payment_id="pay_1")
    try:
        requests.post(URL, json={}, timeout=5, headers={"X-Source": "tok_visa"}).raise_for_status()
    except requests.RequestException:
        log.exception("charge_failed")
        raise


def two_handlers() -> None:
    """Standard error and a file get the same line."""
    logger = _logger("two", _json_formatter())
    logger.handlers.append(logging.StreamHandler(io.StringIO()))
    logger.handlers[1].setFormatter(_json_formatter())
    logger.info("payment_attempted", extra={"payment_id": "pay_1"})
    _post()


def says_success_too_soon() -> None:
    """Success is logged before anything has happened."""
    _logger_of_structlog().info("payment_succeeded", payment_id="pay_1")
    _post()


def once_for_three_attempts() -> None:
    """Three attempts, and one line for all of them."""
    log = _logger_of_structlog()
    try:
        for attempt in range(3):
            try:
                _post()
                break
            except requests.RequestException:
                if attempt == 2:
                    raise
    finally:
        log.info("payment_attempted", payment_id="pay_1")


def once_for_each_attempt() -> None:
    """Three attempts, and a line for each."""
    log = _logger_of_structlog()
    for attempt in range(3):
        try:
            _post()
        except requests.RequestException:
            log.warning("payment_attempted", payment_id="pay_1", exc_info=True)
            if attempt == 2:
                raise
        else:
            log.info("payment_attempted", payment_id="pay_1")
            return


def never_slow() -> None:
    """Nothing about slow answers."""
    log = _logger_of_structlog()
    _post()
    log.info("payment_attempted", payment_id="pay_1")


def always_slow() -> None:
    """A warning about slow answers, also when they are not."""
    log = _logger_of_structlog()
    _post()
    log.warning("gateway_slow", payment_id="pay_1")


def hangs() -> None:
    """No timeout."""
    log = _logger_of_structlog()
    log.info("payment_attempted", payment_id="pay_1")
    requests.post(URL, json={}).raise_for_status()


# -- one event for both outcomes, in careless words ---------------------------------------------------------


def _attempted(*, success: str, failure: str, first: str = "", last: str = "") -> None:
    """Log one event, as the outcome or besides it."""
    log = _logger_of_structlog()
    if first:
        log.info("payment_attempted", outcome=first)
    try:
        _post()
    except requests.RequestException:
        log.info("payment_attempted", outcome=failure, exc_info=True)
        raise
    else:
        log.info("payment_attempted", outcome=success)
    finally:
        if last:
            log.info("payment_attempted", outcome=last)


def always_a_failure() -> None:
    """The outcome is never set."""
    _attempted(success="failure", failure="failure")


def mistyped_success() -> None:
    """A typo where it goes well."""
    _attempted(success="sucess", failure="failure")


def mistyped_failure() -> None:
    """A typo where it goes wrong."""
    _attempted(success="success", failure="failed")


def success_until_it_fails() -> None:
    """Said before it is known."""
    _attempted(success="success", failure="failure", first="success")


def swapped() -> None:
    """One for the other."""
    _attempted(success="failure", failure="success")


def fails_without_an_outcome() -> None:
    """A failure has no outcome."""
    log = _logger_of_structlog()
    try:
        _post()
    except requests.RequestException:
        log.exception("payment_attempted")
        raise
    log.info("payment_attempted", outcome="success")


def error_when_it_fails() -> None:
    """The level tells the outcome, and a failure says why."""
    log = _logger_of_structlog()
    try:
        _post()
    except requests.RequestException as error:
        log.exception("payment_attempted", payment_id="pay_1", error=type(error).__name__)
        raise
    log.info("payment_attempted", payment_id="pay_1")


def info_when_it_fails() -> None:
    """The same, and nobody is woken."""
    log = _logger_of_structlog()
    try:
        _post()
    except requests.RequestException as error:
        name = type(error).__name__
        log.info("payment_attempted", payment_id="pay_1", error=name, exc_info=True)
        raise
    log.info("payment_attempted", payment_id="pay_1")
