"""Bad input and trouble: a clear message, the right exit code, and never more green than was proved."""

from __future__ import annotations

import os

import pytest

from tests.harness import Project

CALL = "requests.post('http://api.pay.example/v1/charges', json={}, timeout=10).raise_for_status()"


def gate(project: Project, body: str, **files: str) -> None:
    lines = "\n            ".join(body.splitlines())
    project.write(
        client=f"""
        import requests

        def charge():
            {lines}
        """,
        test_it="""
        from client import charge

        @ralph.timeout(10)
        def test_charge(api):
            charge()
        """,
        **files,
    )


def test_an_undeclared_host_is_refused_with_the_line_to_add(project: Project):
    gate(project, "requests.get('https://rates.example/v2', timeout=10)")

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert "refused: rates.example is not declared" in outcome.output
    assert "client.py:5 in charge" in outcome.output
    assert 'ralph_upstream("https://rates.example")' in outcome.output
    assert outcome.whole["gate"] == "fail"
    assert outcome.skill("timeout")["status"] == "error"
    assert "pass" not in outcome.statuses().values()


def test_an_undeclared_host_is_refused_without_ralph_too(project: Project):
    gate(project, "requests.get('https://rates.example/v2', timeout=10)")

    outcome = project.run()

    assert outcome.code == 1
    assert 'ralph_upstream("https://rates.example")' in outcome.output


@pytest.mark.parametrize("arguments", [(), ("--ralph",)])
def test_an_undeclared_host_is_seen_when_the_code_swallows_the_error(
    project: Project, arguments: tuple[str, ...]
):
    gate(
        project,
        f"try:\n    requests.get('http://8.8.8.8:53/', timeout=10)\nexcept Exception:\n    pass\n{CALL}",
    )

    outcome = project.run(*arguments)

    assert outcome.code == 1
    assert "8.8.8.8:53 is not declared" in outcome.output
    assert 'ralph_upstream("https://8.8.8.8:53")' in outcome.output
    assert "client.py:6" in outcome.output


def test_an_undeclared_port_of_a_declared_host_is_refused(project: Project):
    gate(project, "requests.get('http://api.pay.example:8080/', timeout=10)")

    outcome = project.run("--ralph")

    assert 'ralph_upstream("https://api.pay.example:8080")' in outcome.output
    assert outcome.code == 1


def test_an_undeclared_host_met_only_in_trouble_is_no_pass(project: Project):
    gate(
        project,
        f"try:\n    {CALL}\nexcept Exception:\n"
        "    try:\n        requests.get('https://backup.example', timeout=10)\n"
        "    except Exception:\n        pass",
    )

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert "backup.example is not declared" in outcome.output
    assert outcome.criterion("timeout.gives-up")["status"] == "not_exercised"


@pytest.mark.parametrize("arguments", [(), ("--ralph",)])
def test_a_request_without_a_declared_answer_names_the_line_to_add(
    project: Project, arguments: tuple[str, ...]
):
    gate(project, f"requests.get('http://api.pay.example/v1/rates?x=1', timeout=10)\n{CALL}")

    outcome = project.run(*arguments)

    assert outcome.code == 1
    assert "GET /v1/rates?x=1 -> no answer declared" in outcome.output
    assert "ralph_upstream('http://api.pay.example').get('/v1/rates', json={...})" in outcome.output


def test_a_gate_whose_upstream_is_never_called_is_not_exercised(project: Project):
    gate(project, "return 42")

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert {"timeout.exercised": "not_exercised"}.items() <= outcome.statuses().items()
    assert "pass" not in outcome.statuses().values()
    assert "was never met: the call made no request" in outcome.output


def test_code_that_answers_from_a_cache_is_not_exercised_until_it_is_reset(project: Project):
    project.write(
        client="""
        import functools, requests

        @functools.lru_cache
        def charge():
            return requests.post('http://api.pay.example/v1/charges', json={}, timeout=10).status_code
        """,
        test_it="""
        from client import charge

        @ralph.feature("cached")
        @ralph.timeout(10)
        def test_cached(api):
            charge()

        @ralph.feature("reset")
        @ralph.reset(charge.cache_clear)
        @ralph.timeout(10)
        def test_reset(api):
            charge()
        """,
    )

    outcome = project.run("--ralph")

    by_feature = {each["feature"]: each["status"] for each in outcome.whole["skills"]}
    assert by_feature == {"cached": "not_exercised", "reset": "pass"}
    assert "@ralph.reset(function)" in outcome.output


def test_a_body_that_fails_when_all_is_healthy_is_the_one_thing_reported(project: Project):
    gate(project, "raise KeyError('currency')")

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert outcome.skill("timeout")["status"] == "error"
    assert {"not_exercised"} == set(outcome.statuses().values())
    problem = outcome.skill("timeout")["problem"]["evidence"]
    assert problem["observed"] == "KeyError: 'currency'"
    assert problem["location"] == {"file": "client.py", "line": 5, "function": "charge"}
    action = outcome.whole["next_action"]
    assert action["criterion"] is None
    assert "Make the call succeed when every service it uses is healthy" in action["prompt"]


def test_a_body_that_hangs_when_all_is_healthy_says_so(project: Project):
    gate(project, "import threading\nthreading.Event().wait()")

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert outcome.skill("timeout")["status"] == "error"
    assert "waits for ever" in outcome.output


def test_a_failing_fixture_is_an_error_of_the_gate(project: Project):
    gate(project, CALL)
    project.write(conftest="")
    path = project.pytester.path / "test_it.py"
    path.write_text(path.read_text().replace('api.post("', 'raise OSError("no disk")\n    api.post("'))

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert {"error"} == set(outcome.statuses().values())
    assert "setup failed: OSError: no disk" in outcome.output


def test_a_failing_teardown_is_an_error_of_the_gate(project: Project):
    gate(
        project,
        CALL,
        conftest="""
        import pytest

        @pytest.fixture(autouse=True)
        def cleanup():
            yield
            raise OSError("cannot clean up")
        """,
    )

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert outcome.whole["gate"] == "fail"
    assert {"error"} == set(outcome.statuses().values())


def test_a_bug_in_one_criterion_is_an_error_and_does_not_stop_the_run(project: Project):
    gate(
        project,
        CALL,
        conftest="""
        import dataclasses
        from pytest_ralph.skills import timeout

        def broken(spec, play):
            raise ZeroDivisionError("oops")

        def pytest_configure(config):
            criteria = tuple(
                dataclasses.replace(each, judge=broken) if each.id == "gives-up" else each
                for each in timeout.SKILL.criteria
            )
            object.__setattr__(timeout.SKILL, "criteria", criteria)
            config.add_cleanup(
                lambda: object.__setattr__(timeout.SKILL, "criteria", original)
            )

        original = timeout.SKILL.criteria
        """,
    )

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert outcome.statuses() == {
        "timeout.gives-up": "error",
        "timeout.connects-in-time": "pass",
        "timeout.waits-forever": "pass",
        "timeout.exercised": "pass",
    }
    assert "the criterion itself failed: ZeroDivisionError: oops (broken, line" in outcome.output
    assert "not in the code under test" in outcome.criterion("timeout.gives-up")["prompt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_report_path_without_permission_is_a_usage_error(project: Project):
    gate(project, CALL)
    (project.pytester.path / "closed").mkdir(mode=0o500)

    outcome = project.run("--ralph", "--ralph-report", "closed/report.json")

    assert outcome.code == 4


@pytest.mark.parametrize("path", ["client.py/report.json", "folder"])
def test_an_unwritable_report_path_is_a_usage_error_before_anything_runs(project: Project, path: str):
    gate(project, CALL)
    (project.pytester.path / "folder").mkdir()

    outcome = project.run("--ralph", "--ralph-report", path)

    assert outcome.code == 4
    assert "--ralph-report: cannot write" in outcome.output
    assert path in outcome.output
    assert "passed" not in outcome.output


def test_a_report_that_becomes_unwritable_is_not_green(project: Project):
    gate(
        project,
        CALL,
        conftest="""
        import shutil, pathlib

        def pytest_runtest_teardown(item):
            if pathlib.Path("out").is_dir():
                shutil.rmtree("out")
                pathlib.Path("out").write_text("in the way")
        """,
    )

    outcome = project.run("--ralph", "--ralph-report", "out/report.json")

    assert outcome.code == 1
    assert "the report could not be written to" in outcome.output


def test_a_report_of_an_earlier_run_does_not_survive(project: Project):
    gate(project, CALL)
    assert project.run("--ralph").whole["gate"] == "pass"

    (project.pytester.path / "test_it.py").write_text("def broken(:\n")
    outcome = project.run("--ralph")

    assert outcome.code == 2
    assert (outcome.whole["gate"], outcome.whole["complete"]) == ("incomplete", False)


def test_a_real_wait_that_the_clock_does_not_see_voids_what_rests_on_time(project: Project):
    gate(project, f"import subprocess\nsubprocess.run(['sleep', '0.6'], check=True)\n{CALL}")

    outcome = project.run("--ralph")

    assert outcome.code == 1
    found = outcome.criterion("timeout.gives-up")
    assert found["status"] == "not_exercised"
    assert "real time passed in" in found["evidence"]["observed"]
    assert outcome.statuses()["timeout.waits-forever"] == "pass"


def test_an_async_test_without_a_plugin_is_not_green(project: Project):
    project.write(
        test_it="""
        @ralph.timeout(10)
        async def test_charge(api):
            pass
        """
    )

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert "pass" not in outcome.statuses().values()


def test_wrong_declarations_point_at_the_users_line(project: Project):
    for url, message in (
        ("'ftp://files.example'", "needs an http:// or https:// URL"),
        ("'api.pay.example'", "needs an http:// or https:// URL"),
        ("'https://api.pay.example/v1'", "declare the path with the answer"),
        ("None", "needs a URL such as"),
    ):
        project.write(test_it=f"def test_it(ralph_upstream):\n    ralph_upstream({url})\n")
        outcome = project.run()
        assert outcome.code == 1
        assert message in outcome.output
        assert f"ralph_upstream({url})" in outcome.output


def test_wrong_answers_and_faults_point_at_the_users_line(project: Project):
    for line, message in (
        ("api.get('v1/charges')", "expected a path such as '/v1/charges', got 'v1/charges'"),
        ("api.get('http://other.example/x')", "expected a path such as"),
        ("api.get('/v1/rates/{currency}/now')", "write re.compile('/v1/rates/[^/]+/now') for any value"),
        ("api.inject('503')", "inject needs a fault such as ralph.faults.Hang(), got '503'"),
        ("api.inject(ralph.faults.Hang(), times=0)", "times must be a whole number from 1, got 0"),
        ("ralph.faults.Status(99)", "Status needs a status code from 200 to 599, got 99"),
        ("ralph.faults.Truncate(1)", "Truncate needs keep from 0 up to, but not including, 1, got 1"),
        ("ralph.faults.Dribble(0)", "interval must be more than 0 s, got 0"),
        ("api.use_registry(dict)", "choose the registry before declaring answers"),
    ):
        project.write(test_it=f"def test_it(api):\n    {line}\n")
        outcome = project.run()
        assert outcome.code == 1, line
        assert message in outcome.output
        assert f">       {line}" in outcome.output or f"    {line}" in outcome.output


def test_a_gate_on_a_test_that_uses_no_fixture_is_judged_and_red(project: Project):
    project.write(
        test_it="""
        @ralph.timeout(10)
        def test_nothing():
            pass
        """
    )

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert outcome.statuses()["timeout.exercised"] == "not_exercised"
    assert outcome.whole["next_action"]["criterion"] == "timeout.exercised"


def test_an_item_that_passes_without_being_judged_is_an_error(project: Project):
    gate(
        project,
        CALL,
        conftest="""
        import pytest

        @pytest.hookimpl(tryfirst=True, wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            report.ralph = {}
            return report
        """,
    )

    outcome = project.run("--ralph")

    assert outcome.code == 1
    assert set(outcome.statuses().values()) == {"error"}


def test_a_request_in_the_test_itself_is_located_there(project: Project):
    project.write(
        test_it="""
        import requests

        @ralph.timeout(10)
        def test_charge(api):
            requests.post("http://api.pay.example/v1/charges", json={}, timeout=30)
        """
    )

    location = project.run_apart("--ralph").criterion("timeout.gives-up")["evidence"]["location"]

    assert (location["file"], location["function"]) == ("test_it.py", "test_charge")


@pytest.mark.parametrize("arguments", [(), ("--ralph",)])
def test_a_missing_answer_is_explained_even_if_the_code_raises(project: Project, arguments: tuple[str, ...]):
    gate(project, "requests.get('http://api.pay.example/v2/x', timeout=1).raise_for_status()")

    output = project.run(*arguments).output

    assert (
        "GET /v2/x -> no answer declared (client.py:5 in charge)" in output
        or "Where    client.py:5" in output
    )
    assert "get('/v2/x', json={...})" in output


def test_contradicting_declarations_are_refused(project: Project):
    for line, message in (
        (
            "ralph_upstream('https://a.example:80')",
            "port 80 of a.example is declared already, as http://a.example",
        ),
        ("ralph_upstream('http://a.example', faulted=False)", "is declared already, with faulted=True"),
    ):
        project.write(
            test_it=f"def test_it(ralph_upstream):\n    ralph_upstream('http://a.example')\n    {line}\n"
        )
        assert message in project.run().output
