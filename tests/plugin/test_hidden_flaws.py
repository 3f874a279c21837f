"""Flaws that a single fault at the first request would not show, and right code that looks wrong at first."""

from __future__ import annotations

import pytest

from tests.harness import Outcome, Project

HEAD = """
import logging, time
import requests
log = logging.getLogger("shop")
SESSION = requests.Session()
URL = "http://api.pay.example"
"""
TEST = """
import app

@pytest.fixture
def shop(ralph_upstream):
    api = ralph_upstream("http://api.pay.example")
    for path in ("/a", "/b", "/token", "/u/1", "/u/2"):
        api.get(path, json={"id": 1})
    mirror = ralph_upstream("http://mirror.example")
    mirror.get("/a", json={"id": 1})

%s
def test_call(shop):
    app.call()
"""
RETRYING = """
def get(path, retries=3, timeout=10):
    for attempt in range(1, retries + 2):
        try:
            answer = SESSION.get(URL + path, timeout=timeout)
            if answer.status_code < 500:
                answer.raise_for_status()
                return answer.json()
            problem = RuntimeError(answer.status_code)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as e:
            problem = e
        if attempt > retries:
            raise problem
        log.warning("attempt %%d failed", attempt)
        time.sleep(2 ** (attempt - 1))
""".replace("%%", "%")


def judge(project: Project, marker: str, code: str, *, apart: bool = False) -> Outcome:
    project.write(app=HEAD + RETRYING + code, test_it=TEST % marker)
    return project.run_apart("--ralph") if apart else project.run("--ralph")


@pytest.mark.parametrize(
    "code",
    [
        # A second operation.
        """
def call():
    get("/a")
    SESSION.get(URL + "/b")
""",
        # The same operation from a second place, told apart by its query only.
        """
def call():
    get("/a?page=1")
    SESSION.get(URL + "/a?page=2")
""",
        # The same kind of operation with another id.
        """
def call():
    get("/u/1")
    SESSION.get(URL + "/u/2")
""",
        # Another service.
        """
def call():
    get("/a")
    SESSION.get("http://mirror.example/a")
""",
        # Where the code turns to only in trouble.
        """
def call():
    try:
        SESSION.get(URL + "/a", timeout=10).raise_for_status()
    except requests.RequestException:
        SESSION.get("http://mirror.example/a").raise_for_status()
""",
        # A read timeout that ends with the headers.
        """
def call():
    with SESSION.get(URL + "/a", timeout=10, stream=True) as answer:
        answer.raw._fp.fp.raw._sock.settimeout(None)
        answer.content
""",
    ],
    ids=["operation", "query", "id", "service", "detour", "body"],
)
def test_a_request_without_timeout_is_found_wherever_it_hides(project: Project, code: str):
    outcome = judge(project, "@ralph.timeout(10)", code)

    assert outcome.statuses()["timeout.waits-forever"] == "fail", outcome.output
    assert outcome.code == 1


DETOUR = """
def call():
    try:
        SESSION.get(URL + "/a", timeout=10).raise_for_status()
    except requests.RequestException:
        SESSION.get(URL + "/b"%s).raise_for_status()
"""


def test_a_detour_on_the_same_service_is_broken_as_well(project: Project):
    right = judge(project, "@ralph.timeout(10)", DETOUR % ", timeout=10")
    assert right.not_passed() == {}, right.output

    wrong = judge(project, "@ralph.timeout(10)", DETOUR % "")
    assert wrong.statuses()["timeout.waits-forever"] == "fail"


def test_a_refused_connect_is_retried_or_not_with_several_operations_too(project: Project):
    impatient = RETRYING.replace(
        "except (requests.ConnectionError, requests.Timeout", "except (requests.Timeout"
    )
    impatient = impatient.replace("get(path", "once(path").replace(
        "raise problem", "raise problem\n        if attempt: pass"
    )

    right = judge(project, "@ralph.retry", "\ndef call():\n    get('/a')\n    get('/b')\n")
    assert right.not_passed() == {}, right.output

    wrong = judge(project, "@ralph.retry", impatient + "\ndef call():\n    once('/a')\n    once('/b')\n")
    found = wrong.criterion("retry.retries-transient")
    assert found["status"] == "fail"
    assert "refused" in (found["evidence"]["scenario"], *found["evidence"]["also_in"])


@pytest.mark.parametrize("total", ["", ", total=60"])
def test_a_call_that_goes_on_for_ever_is_found(project: Project, total: str):
    outcome = judge(
        project,
        f"@ralph.timeout(0.5{total})",
        """
def call():
    while True:
        try:
            SESSION.get(URL + "/a", timeout=0.5).raise_for_status()
            return
        except Exception:
            pass
""",
    )

    assert outcome.statuses()["timeout.waits-forever"] == "fail"
    assert outcome.statuses().get("timeout.total-deadline", "fail") == "fail"


@pytest.mark.parametrize("handler", ["pass", "time.sleep(1)", "call.count += 1"])
def test_a_bare_except_in_an_endless_loop_does_not_hang_the_run(project: Project, handler: str):
    outcome = judge(
        project,
        "@ralph.timeout(10)",
        f"""
def call():
    while True:
        try:
            return SESSION.get(URL + "/a", timeout=10).raise_for_status()
        except:
            {handler}
call.count = 0
""",
    )

    assert outcome.statuses()["timeout.waits-forever"] == "fail"


def test_quick_failures_are_retried_within_the_total_too(project: Project):
    outcome = judge(
        project,
        "@ralph.timeout(1, total=6)",
        """
def call():
    for wait in (1, 2, 4):
        try:
            answer = SESSION.get(URL + "/a", timeout=1)
        except requests.Timeout:
            raise
        except requests.RequestException:
            return
        if answer.ok:
            return
        time.sleep(wait)
""",
    )

    found = outcome.criterion("timeout.total-deadline")
    assert found["status"] == "fail"
    assert "status-503" in (found["evidence"]["scenario"], *found["evidence"]["also_in"])


TOKEN = """
_token = []

def call():
    if not _token:
        _token.append(SESSION.get(URL + "/token").json())
    get("/a")
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_an_answer_that_is_kept_hides_its_request_only_until_it_is_reset(
    project: Project, workers: tuple[str, ...]
):
    code, reset = HEAD + RETRYING + TOKEN, "@ralph.reset(app._token.clear)\n@ralph.timeout(10)"
    project.write(app=code, test_hidden=TEST % "@ralph.timeout(10)")
    project.write(other=code, test_shown=(TEST % reset).replace("import app", "import other as app"))

    outcome = project.run_apart("--ralph", *workers)

    hidden, shown = (outcome.of(feature) for feature in ("test_hidden", "test_shown"))
    assert hidden["timeout.exercised"]["status"] == "not_exercised", outcome.output
    assert "GET /token" in hidden["timeout.exercised"]["evidence"]["observed"]
    assert shown["timeout.waits-forever"]["status"] == "fail"
    assert outcome.code == 1


@pytest.mark.parametrize(
    "message",
    [
        "log.warning('shards 1, 2, 3 failed')",
        "log.warning('backing off for %d', 2 ** (attempt - 1))",
        "log.warning('retrying in %.1f s', 2.0 ** (attempt - 1))",
        "log.warning('status 503, retrying')",
        "log.warning('retrying at 2026-01-%02d', attempt)",
    ],
)
def test_other_numbers_are_no_attempt_numbers(project: Project, message: str):
    code = RETRYING.replace('log.warning("attempt %d failed", attempt)', message)
    project.write(
        app=HEAD + code + "\ndef call(): get('/a', retries=2)\n", test_it=TEST % "@ralph.retry(max_retries=2)"
    )

    outcome = project.run("--ralph")

    assert outcome.not_passed() == {"retry.logs-each-retry": "fail"}, outcome.output


@pytest.mark.parametrize(
    "message",
    [
        "log.warning('attempt %d of 3 failed, retrying in %d s', attempt, 2 ** (attempt - 1))",
        "log.error('retry #%d', attempt)",
        "log.warning('failed after %d attempts', attempt)",
        "log.warning('trying again', extra={'attempt': attempt + 1})",
        "log.warning('%s', __import__('json').dumps({'event': 'retry', 'attempt': attempt}))",
        "log.warning('the %dnd try', attempt + 1)",
    ],
)
def test_attempt_numbers_in_all_usual_forms(project: Project, message: str):
    code = RETRYING.replace('log.warning("attempt %d failed", attempt)', message)
    project.write(
        app=HEAD + code + "\ndef call(): get('/a', retries=2)\n", test_it=TEST % "@ralph.retry(max_retries=2)"
    )

    outcome = project.run("--ralph")

    assert outcome.not_passed() == {}, outcome.output


def test_a_record_that_nothing_writes_is_no_record(project: Project):
    setups = [
        "log.addHandler(logging.NullHandler()); log.propagate = False",
        "handler = logging.StreamHandler(); handler.setLevel('ERROR'); log.addHandler(handler)",
        "log.setLevel('ERROR')",
        "log.disabled = True",
    ]
    for number, setup in enumerate(setups):
        name = f"app{number}"
        code = HEAD + RETRYING + f"{setup}\ndef call(): get('/a')\n"
        test = TEST.replace("import app", f"import {name} as app") % "@ralph.retry"
        project.write(**{name: code.replace('"shop"', f'"{name}"'), f"test_{number}": test})

    outcome = project.run_apart("--ralph")

    judged = [outcome.of(f"test_{number}")["retry.silent-retries"]["status"] for number in range(len(setups))]
    assert dict(zip(setups, judged, strict=True)) == dict.fromkeys(setups, "fail"), outcome.output


@pytest.mark.parametrize(
    "setup",
    [
        "log.addHandler(logging.NullHandler())",
        "log.addHandler(logging.StreamHandler())",
        "logging.getLogger().addHandler(logging.StreamHandler())",
    ],
)
def test_a_record_that_is_written_counts(project: Project, setup: str):
    outcome = judge(project, "@ralph.retry", f"{setup}\ndef call(): get('/a')\n", apart=True)

    assert outcome.not_passed() == {}, outcome.output


@pytest.mark.parametrize("library", ["structlog", "structlog-json", "loguru"])
def test_other_logging_libraries_are_heard(project: Project, library: str):
    logger = {
        "structlog": "import structlog; log = structlog.get_logger()",
        "structlog-json": (
            "import structlog; log = structlog.wrap_logger(structlog.WriteLogger(), "
            "processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])"
        ),
        "loguru": "from loguru import logger as log",
    }[library]
    call = "log.warning('failed', attempt=attempt)"
    code = RETRYING.replace('log.warning("attempt %d failed", attempt)', call)
    project.write(app=HEAD + logger + code + "\ndef call(): get('/a')\n", test_it=TEST % "@ralph.retry")

    outcome = project.run_apart("--ralph")

    assert outcome.not_passed() == {}, outcome.output


@pytest.mark.parametrize(
    "code",
    [
        # Many requests, each retried by itself; failures of one do not stop the others.
        """
def call():
    problems = []
    for page in range(4):
        try:
            get(f"/a?page={page}")
        except (RuntimeError, requests.RequestException) as problem:
            problems.append(problem)
    if problems:
        raise problems[0]
""",
        # More requests than a call without success would be allowed.
        """
def call():
    for _ in range(60):
        get("/a")
""",
        # In a thread, waited for with a limit.
        """
import concurrent.futures

def call():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(get, "/a").result(timeout=300)
""",
    ],
    ids=["many", "sixty", "thread"],
)
def test_right_code_in_unusual_shapes_is_green(project: Project, code: str):
    outcome = judge(project, "@ralph.retry\n@ralph.timeout(10)", code)

    assert outcome.not_passed() == {}, outcome.output


def test_several_threads_at_once_are_green(project: Project):
    outcome = judge(
        project,
        "@ralph.retry(on=('5xx', 'timeout'))\n@ralph.timeout(10)",
        """
import concurrent.futures

def call():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(get, path) for path in ("/a", "/b", "/u/1", "/u/2")]:
            future.result()
""",
    )

    assert outcome.not_passed() == {}, outcome.output


@pytest.mark.parametrize(
    "answer", ["api.head('/x')", "api.head('/x', status=204)", "api.head('/x', status=302)"]
)
def test_answers_without_a_body_cannot_be_cut(project: Project, answer: str):
    code = RETRYING.replace("SESSION.get", "SESSION.head").replace("return answer.json()", "return None")
    project.write(
        app=HEAD + code + "\ndef call(): get('/x')\n",
        test_it=f"""
import app

@pytest.fixture
def shop(ralph_upstream):
    api = ralph_upstream("http://api.pay.example")
    {answer}

@ralph.retry
def test_call(shop):
    app.call()
""",
    )

    outcome = project.run("--ralph")

    assert outcome.not_passed() == {}, outcome.output


@pytest.mark.parametrize("size", [300_000, 3_000_000])
def test_big_answers_with_and_without_close(project: Project, size: int):
    project.write(
        app=HEAD + RETRYING + "\ndef call(): get('/big')\n",
        test_it=f"""
import app

@pytest.fixture
def shop(ralph_upstream):
    api = ralph_upstream("http://api.pay.example")
    api.get("/big", json="x" * {size})

@ralph.retry
def test_call(shop):
    app.SESSION.headers["Connection"] = "close"
    app.call()
""",
    )

    assert project.run("--ralph").not_passed() == {}


def test_the_same_code_gives_the_same_report_even_if_it_logs_what_changes(project: Project):
    code = RETRYING.replace(
        'log.warning("attempt %d failed", attempt)',
        "log.warning('%s %s %s %s', __import__('uuid').uuid4(), time.time(), object(), "
        "__import__('datetime').datetime.now().isoformat())",
    )
    project.write(app=HEAD + code + "\ndef call(): get('/a')\n", test_it=TEST % "@ralph.retry")

    first, second = (project.run_apart("--ralph").whole for _ in range(2))

    assert first["gate"] == "fail"
    assert {**first, "run": None} == {**second, "run": None}


def test_a_gate_on_a_parameter_is_refused_rather_than_dropped(project: Project):
    project.write(
        test_it="""
        @pytest.mark.parametrize("n", [1, pytest.param(2, marks=ralph.timeout(10))])
        def test_call(api, n):
            pass
        """
    )

    outcome = project.run("--ralph")

    assert outcome.code == 4
    assert "a gate (timeout) was added by pytest.param(marks=...)" in outcome.output


def test_a_gate_that_is_added_later_is_refused_rather_than_dropped(project: Project):
    project.write(
        test_it="""
        @pytest.fixture(autouse=True)
        def more(request):
            request.node.add_marker(ralph.retry())

        @ralph.timeout(10)
        def test_call(api):
            pass
        """
    )

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert "a gate (retry, timeout) was added" in outcome.output


def test_a_proxy_from_the_environment_is_named(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.corp.example:3128")

    outcome = judge(project, "@ralph.timeout(10)", "\ndef call(): get('/a')\n")

    assert 'monkeypatch.delenv("HTTP_PROXY")' in outcome.output
