"""Run an agent again and again until all gates are green.

Each iteration judges all gates and gives the command what is next on its stdin. It ends when they are green,
when a person has to look at it (stalled, disputed, tampered), or when a limit is met. Everything the agent
prints goes to .ralph/loop.log. After Ctrl-C, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_ralph.cli.shared import Answer, Run, UsageError, brief, pytest
from pytest_ralph.report import exits
from pytest_ralph.report.history import FOLDER

EXAMPLES = """\
  pytest-ralph loop -- claude -p --permission-mode acceptEdits
  pytest-ralph loop --iterations 20 --minutes 60 -- codex exec -
  pytest-ralph loop --max-cost 5 -- claude -p --output-format json"""

_RULES = """\
You repair code until its production-readiness gates are green. This is what pytest-ralph says:

{told}

Do what stands after "next:", and only that; then run the command after "then:" and repeat until it is green.
Change the code under test only: not the tests, their markers and fixtures, conftest files, pytest's
configuration, the policy, ralph.lock or .ralph. If you hold a failure for wrong, do not work around it: run
pytest-ralph dispute FEATURE/CRITERION --reason "..." and stop.
"""
_COST = re.compile(r'"total_cost_usd":\s*(\d+(?:\.\d+)?)')

# How often an agent may leave everything as it is before that is a standstill: three runs are the same then.
_TRIES = 2


def add(command: argparse.ArgumentParser) -> None:
    """Describe the command."""
    command.add_argument("--iterations", type=int, default=10, metavar="N", help="at most N (default: 10)")
    command.add_argument("--minutes", type=float, metavar="M", help="no new iteration after so many minutes")
    command.add_argument(
        "--max-cost", type=float, metavar="USD", help='no new iteration after so much, by "total_cost_usd"'
    )
    command.add_argument(
        "--pytest", default="", metavar="ARGS", help="further arguments for pytest, as one word"
    )
    command.add_argument("agent", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the agent's command")


def run(options: argparse.Namespace) -> Answer:
    """Do it."""
    command = options.agent[1:] if options.agent[:1] == ["--"] else options.agent
    if not command:
        raise UsageError("name the agent's command after --, such as: pytest-ralph loop -- claude -p")
    return _Loop(options, command).run()


class _Loop:
    def __init__(self, options: argparse.Namespace, command: list[str]) -> None:
        self._options = options
        self._command = command
        self._log = Path(FOLDER) / "loop.log"
        self._began = time.monotonic()
        self._cost: float | None = 0.0
        self._iterations = 0
        self._done: Run | None = None

    def run(self) -> Answer:
        try:
            return self._run()
        except KeyboardInterrupt:
            return self._end("interrupted; the same command goes on from here")

    def _run(self) -> Answer:
        while True:
            self._judge()
            if self._done is None or self._done.report is None:
                return self._end("no gate could be judged")
            if (
                self._done.verdict not in (exits.RED, exits.INCOMPLETE)
                and not self._stands_still_since_before()
            ):
                return self._end(str(self._done.report["state"]))
            if (limit := self._limit()) is not None:
                return self._end(limit)
            self._iterations += 1
            self._work(self._done)

    def _stands_still_since_before(self) -> bool:
        """Whether runs before this loop make for a standstill, of which its agent knows nothing."""
        report = self._done.report if self._done is not None else None
        return report is not None and report["state"] == "stalled" and self._iterations < _TRIES

    def _judge(self) -> None:
        began = time.monotonic()
        self._done = pytest(["--ralph-output=agent", *self._options.pytest.split()])
        report = self._done.report
        if report is not None:
            self._say(f"{_progress(report)} ({time.monotonic() - began:.0f} s)")

    def _work(self, done: Run) -> None:
        prompt = _RULES.format(told=done.output.strip())
        self._note(f"=== iteration {self._iterations}: {' '.join(self._command)}\n{prompt}\n--- output\n")
        try:
            worked = subprocess.run(
                self._command,
                input=prompt,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=self._left(),
                check=False,
            )
        except OSError as error:
            raise UsageError(f"the agent's command cannot be run: {error}") from None
        except subprocess.TimeoutExpired:
            self._note("--- ended, because the time was over\n")
            return
        self._note(f"{worked.stdout}\n--- exit code {worked.returncode}\n")
        costs = _COST.findall(worked.stdout)
        if self._cost is not None:
            self._cost = self._cost + float(costs[-1]) if costs else None

    def _left(self) -> float | None:
        """Seconds until the time is over."""
        if self._options.minutes is None:
            return None
        limit = float(self._options.minutes) * 60
        return max(1.0, limit - (time.monotonic() - self._began))

    def _limit(self) -> str | None:
        """Which limit is met, if one is."""
        options = self._options
        if self._iterations >= options.iterations:
            return f"the limit of {options.iterations} iterations is met"
        if options.minutes is not None and time.monotonic() - self._began >= options.minutes * 60:
            return f"the limit of {options.minutes:g} minutes is met"
        if options.max_cost is None:
            return None
        if self._cost is None:
            return 'the agent tells no cost: it must print "total_cost_usd"'
        return f"the limit of {options.max_cost:g} USD is met" if self._cost >= options.max_cost else None

    def _say(self, text: str) -> None:
        print(f"loop {self._iterations}: {text}", file=sys.stderr, flush=True)
        self._note(f"=== {text}\n")

    def _note(self, text: str) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(text)

    def _end(self, why: str) -> Answer:
        code = self._done.verdict if self._done is not None else exits.INCOMPLETE
        report = self._done.report if self._done is not None else None
        line = f"loop: {why}, after {self._iterations} iterations; log: {self._log}"
        lines = [line] if report is not None or self._done is None else [self._done.output.strip(), line]
        data = {
            "end": why,
            "iterations": self._iterations,
            "cost": self._cost,
            "code": code,
            "report": brief(report) if report is not None else None,
        }
        return Answer(data=data, lines=lines, code=code)


def _progress(report: Mapping[str, Any]) -> str:
    summary, action = report["summary"], report["next_action"]
    done = summary["pass"] + summary["waived"]
    following = ""
    if action is not None:
        name = action["criterion"] or action["skill"]
        following = f", next {action['feature']}/{name}" if name else ", next see the log"
    return f"{report['state']} {done}/{summary['criteria']}{following}"
