"""From the plays of one item to its verdicts, as plain data that crosses process borders."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pytest_ralph.core.masking import masked
from pytest_ralph.core.scenario import Scenario
from pytest_ralph.core.secrets import declared, hidden, sent
from pytest_ralph.core.skill import Criterion, Play, Status, Verdict, untested
from pytest_ralph.core.timeline import Died, Escaped, FaultMet, Mocked, Outside, Timeline, Unmatched
from pytest_ralph.engine.gates import Gate

_WORST_FIRST = (Status.FAIL, Status.ERROR, Status.NOT_EXERCISED, Status.PASS)


def judge(
    gates: Sequence[Gate],
    scenario: Scenario,
    plays: Sequence[Play],
    nodeid: str,
    mocks: Sequence[Mocked] = (),
    secrets: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Every verdict that a scenario gives, the worst of its plays for each criterion.

    Args:
        gates: The gates of the test.
        scenario: What was played.
        plays: What happened, once per operation the fault was aimed at.
        nodeid: The item, for the evidence.
        mocks: What mocks answered in the healthy call, whatever was played after it.
        secrets: Values that the test declares to be secret: no verdict shows them, nor credentials sent.
    """
    found = []
    plays = [replace(play, secrets=(*declared(secrets), *sent(play.timeline))) for play in plays]
    for number, gate in enumerate(gates):
        beside = tuple(each.spec for each in gates if each is not gate and each.skill is gate.skill)
        mine = [replace(play, beside=beside) for play in plays]
        for criterion in gate.judges(scenario):
            judged = [(play, _verdict(gate, criterion, play, mocks)) for play in mine]
            given = [(play, verdict) for play, verdict in judged if verdict is not None]
            if criterion.id == "exercised" and any(each.status is Status.PASS for _, each in given):
                given = [(play, each) for play, each in given if each.status is Status.PASS]
            if given:
                play, verdict = min(given, key=lambda pair: _WORST_FIRST.index(pair[1].status))
                record = _record(number, gate, criterion, play, verdict, nodeid)
                found.append(hidden(record, play.secrets))
    return found


def _verdict(gate: Gate, criterion: Criterion, play: Play, mocks: Sequence[Mocked]) -> Verdict | None:
    try:
        verdict = criterion.judge(gate.spec, play)
    except Exception as error:  # noqa: BLE001
        return Verdict(
            status=Status.ERROR,
            expected="a verdict",
            observed=f"the criterion itself failed: {_described(error)}",
            lines=tuple(play.timeline.lines()),
        )
    if mocks or play.timeline.of(Mocked):
        return _mocked(play, mocks)
    if play.timeline.of(Died) and not criterion.outlives:
        return _died(play)
    if verdict is None or verdict.status is Status.NOT_EXERCISED:
        return verdict
    if verdict.status is Status.FAIL:
        return _untimed(criterion, play) or verdict
    return _doubt(criterion, play) or verdict


def _died(play: Play) -> Verdict:
    """What is known of a call that took its process with it."""
    died = play.timeline.of(Died)[-1]
    return Verdict(
        status=Status.FAIL,
        expected="the call comes back, with a result or an exception",
        observed=died.text(),
        location=died.location,
        lines=(*play.timeline.lines(), *died.stack),
        fix="Make the call come back: it must neither hang nor crash nor end its process",
    )


def _mocked(play: Play, mocks: Sequence[Mocked]) -> Verdict:
    """Why nothing is known of a call that a mock has answered, even if only a part of it."""
    timeline = play.timeline if play.timeline.of(Mocked) else Timeline(tuple(mocks))
    first = timeline.of(Mocked)[0]
    parts = urlsplit(first.url)
    service = f"{parts.scheme}://{parts.netloc}"
    reason = (
        f"{first.mock} answered {first.method} {service}{parts.path}, so timing and faults were not put to "
        f'the test; declare the answer on ralph_upstream("{service}") instead, or take the mock away'
    )
    return replace(untested(masked(reason), timeline), location=first.location)


def _doubt(criterion: Criterion, play: Play) -> Verdict | None:
    """Why a pass cannot be claimed after all."""
    if play.scenario.fault is not None and not play.timeline.of(FaultMet):
        return untested("the fault was never met: see exercised", play.timeline)
    timeline = play.timeline
    strays: list[Outside | Unmatched] = [*timeline.of(Outside), *timeline.of(Unmatched)]
    for stray in strays:
        reason = f"not all traffic went to declared answers: {stray.text()}; add {stray.advice}"
        return replace(untested(reason, timeline), location=stray.location)
    return _untimed(criterion, play)


def _untimed(criterion: Criterion, play: Play) -> Verdict | None:
    """Why virtual times say nothing, if they do not."""
    escaped = play.timeline.of(Escaped)
    if not escaped or not criterion.timing:
        return None
    # How many seconds exactly is different on every run: the report must not be.
    return untested(f"real time passed in {escaped[0].call}, so the virtual times say nothing", play.timeline)


def _described(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.name}, line {last.lineno})"


def _record(
    number: int, gate: Gate, criterion: Criterion, play: Play, verdict: Verdict, nodeid: str
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "gate": number,
        "criterion": f"{gate.skill.id}.{criterion.id}",
        "status": str(verdict.status),
    }
    if verdict.measured:
        record["measured"] = list(verdict.measured)
    if verdict.status is Status.PASS:
        return record
    record["evidence"] = {
        "expected": verdict.expected or _statement(gate, criterion),
        "observed": verdict.observed,
        "scenario": play.scenario.id,
        "aimed_at": play.aimed_at,
        "nodeid": nodeid,
        "location": verdict.location.to_json() if verdict.location else None,
        "timeline": list(verdict.lines),
    }
    record["prompt"] = prompt(gate, criterion, play, verdict)
    return record


def _statement(gate: Gate, criterion: Criterion) -> str:
    text = criterion.text(gate.spec)
    return text if criterion.kind == "pass" else f"never: {text}"


def _ended(text: str) -> str:
    """A text as the end of a sentence; one that was shortened keeps its dots, which say so."""
    return text if text.endswith("...") else f"{text.rstrip('.')}."


def prompt(gate: Gate, criterion: Criterion, play: Play, verdict: Verdict) -> str:
    """The instruction for whoever repairs the code, person or agent.

    It says where, what, with which parameters, what was observed, and what must stay as it is.
    """
    if verdict.status is Status.ERROR:
        return (
            f"The criterion {gate.skill.id}.{criterion.id} could not be judged: {verdict.observed}. This is "
            "a bug in the plugin that defines it, not in the code under test. Report it there."
        )
    if verdict.status is Status.NOT_EXERCISED:
        return (
            f"{gate.skill.id}.{criterion.id} was not put to the test in scenario {play.scenario.id}: "
            f"{_ended(verdict.observed)}"
        )
    where = (
        f"In {verdict.location.file}, line {verdict.location.line} ({verdict.location.function}): "
        if (verdict.location)
        else ""
    )
    aimed = f" aimed at {play.aimed_at}" if play.aimed_at else ""
    fault = f" ({play.scenario.fault}{aimed})" if play.scenario.fault else ""
    return (
        f"{where}{verdict.fix or criterion.fix(gate.spec)}. "
        f"In scenario {play.scenario.id}{fault}, "
        f"expected: {verdict.expected or _statement(gate, criterion)}; "
        f"observed: {_ended(verdict.observed)} "
        f"Leave as they are: {gate.skill.keep(gate.spec)}. Do not change the test or its markers."
    )


def summary(records: Iterable[dict[str, Any]]) -> str:
    """What is wrong, a line per criterion, for the item's failure message; empty when nothing is."""
    lines = []
    for record in records:
        if record["status"] == "pass":
            continue
        evidence = record["evidence"]
        lines.append(f"{record['criterion']}: {record['status'].replace('_', ' ')}")
        lines.append(f"  Expected {evidence['expected']}")
        aimed = f" ({evidence['aimed_at']})" if evidence["aimed_at"] else ""
        lines.append(f"  Observed {evidence['observed']}{aimed}")
        lines += [f"  Measured {each}" for each in record.get("measured", ())]
        if evidence["location"]:
            lines.append("  Where    {file}:{line} in {function}".format(**evidence["location"]))
    return "\n".join(lines)
