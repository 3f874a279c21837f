"""What happens to one item between setup and teardown, as the bodies of pytest's hooks."""

from __future__ import annotations

import json
import os
import random
import socket
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pytest_ralph.core.location import Location
from pytest_ralph.core.masking import short
from pytest_ralph.core.policy import expired
from pytest_ralph.core.scenario import HEALTHY, MemoryCap, Scenario
from pytest_ralph.core.secrets import declared, hidden, sent
from pytest_ralph.core.skill import Play
from pytest_ralph.core.timeline import Died, Event, MemoryUsed, Outside, Timeline, Unmatched
from pytest_ralph.engine import isolation, verdicts
from pytest_ralph.engine.apart import Child, Ending
from pytest_ralph.engine.body import Body
from pytest_ralph.engine.collecting import check_seen
from pytest_ralph.engine.gates import base_id, resets_of, scenario_of, scenarios, secrets_of
from pytest_ralph.engine.isolation import Came, Culprit
from pytest_ralph.engine.play import Found, Player, seed_for
from pytest_ralph.engine.session import CASE, RESULT, Case, Run, open_case, run_of
from pytest_ralph.world import allocations
from pytest_ralph.world.cgroup import Group
from pytest_ralph.world.endings import Ended, ending
from pytest_ralph.world.memory import KILLED, Meter

# The run that looks for the lines that use memory: how many real seconds it may take, and how many bytes it
# may use beyond twice the limit.
_PATIENCE = 10.0
_BEYOND = 64 * 1024**2

_LONGEST_REASON = 300


@contextmanager
def phase(item: pytest.Item) -> Generator[Case | None]:
    """Put the item's world in place for one phase: pytest itself lives in real time between them."""
    case = item.stash.get(CASE, None)
    if case is None:
        yield None
        return
    case.world.enter()
    try:
        yield case
    finally:
        case.world.leave()


def setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Around setup: make the world, so that fixtures live in it."""
    # An item that is run again must not be judged by what an earlier run left behind.
    item.stash[RESULT] = {}
    isolation.forget(item)
    case = open_case(item)
    if case is not None:
        item.stash[CASE] = case
    with phase(item):
        return (yield)


def teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Around teardown: end the world, whatever happens."""
    try:
        with phase(item):
            return (yield)
    finally:
        case = item.stash.get(CASE, None)
        if case is not None:
            case.world.close()
            del item.stash[CASE]


def call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Around the call: play the scenario and judge it."""
    scenario = scenario_of(item)
    with phase(item) as case:
        if case is None:
            return (yield)
        if scenario is None:
            return (yield from _plain(case))
        return (yield from _scenario(item, case, scenario))


def _plain(case: Case) -> Generator[None, Any, Any]:
    """A test that is not judged, but lives in a world."""
    with case.world.outlasting():
        result = yield from _first_call(case)
    _refuse_strays(case)
    return result


def _scenario(item: pytest.Item, case: Case, scenario: Scenario) -> Generator[None, Any, Any]:
    run = run_of(item.config)
    try:
        check_seen(run, item)
    except ValueError as error:
        pytest.fail(str(error), pytrace=False)
    _refuse_conflicts(item, case)
    player = Player(
        world=case.world,
        body=Body(item),
        locator=case.locator,
        seed=seed_for(run.seed, base_id(item)),
        resets=resets_of(item),
        faults=tuple(each.fault for each in scenarios(case.gates) if each.fault is not None),
        test=base_id(item),
        more_faults=run.more_faults,
    )
    playing = _played(item, player, case, scenario)
    if scenario.isolated or run.isolating or run.memory or _has_isolated(item, run):
        found = yield from _apart(item, case, scenario, player, playing)
    else:
        found = yield from playing
    __tracebackhide__ = True
    records = verdicts.judge(
        case.gates, scenario, found.plays, item.nodeid, mocks=found.mocks, secrets=secrets_of(item)
    )
    item.stash[RESULT] = {"verdicts": records, "reached": found.reached, "met": found.met}
    problem = verdicts.summary(each for each in records if not _waived(run, case, each))
    _note_properties(item, case, scenario, records)
    run.judged[item.nodeid] = json.dumps({"red": bool(problem), "result": item.stash[RESULT]})
    if problem:
        pytest.fail(problem, pytrace=False)
    return None


def _has_isolated(item: pytest.Item, run: Run) -> bool:
    """Whether a scenario of the test needs a process of its own: then the body is not safe elsewhere."""
    return any(each.isolated for each in run.test(item).scenarios)


def _played(item: pytest.Item, player: Player, case: Case, scenario: Scenario) -> Generator[None, Any, Found]:
    """Play a scenario, and give what there is to judge."""
    state = random.getstate()
    try:
        random.seed(player.seed)
        for reset in player.resets:
            reset()
        case.world.remember()
        case.world.recorder.restart()
        if scenario.manual:
            plays = yield from _manual(player, case, scenario)
        else:
            yield from _baseline(item, player, case, scenario)
            player.learn()
            plays = [_healthy(case, scenario)] if _is_one_call(scenario) else player.plays(scenario)
            plays = plays or [player.nothing(scenario)]
    finally:
        random.setstate(state)
    return Found(plays=plays, mocks=player.mocks, reached=player.reached, met=player.met)


def _is_one_call(scenario: Scenario) -> bool:
    """Whether the healthy call is all there is to a scenario."""
    return scenario == HEALTHY or scenario.memory is not None


def _apart(
    item: pytest.Item,
    case: Case,
    scenario: Scenario,
    player: Player,
    playing: Generator[None, Any, Found],
) -> Generator[None, Any, Found]:
    """Have a scenario played in a process of its own."""
    run = run_of(item.config)
    cap = scenario.memory or (
        MemoryCap(limit=run.memory, stop=run.memory, whole=True) if run.memory else None
    )
    meter = Meter(cap, _group(run, cap)) if cap is not None else None
    child = Child()
    isolation.note_coverage(item)
    isolation.flush(item)
    if child.fork():
        case.world.forked()
        player.on_healthy = lambda: child.tell("healthy", None)
        yield from isolation.play(item, child, meter, playing)
    playing.close()
    case.world.leave()
    try:
        with isolation.absent(item):
            yield
        ended = child.wait(run.watchdog, [meter] if meter is not None else [])
        came = isolation.listen(item, child, meter, died=bool(ended.reason))
    finally:
        child.close()
        # However the scenario ends, and whatever is raised of it: a control group does not go by itself.
        if meter is not None:
            meter.close()
    if meter is not None and meter.killed == "the process" and ended.reason:
        ended = replace(ended, reason=KILLED)
    culprits = None
    if meter is not None and meter.exceeded and not meter.cap.whole and meter.killed != "a child process":
        culprits = _culprits(item, case, player, meter.cap)
    return _came(item, case, scenario, ended, came, meter, culprits)


def _group(run: Run, cap: MemoryCap) -> Group | None:
    """The control group that holds a process to a limit; not where it may go beyond, to be measured."""
    __tracebackhide__ = True
    held = cap.whole or cap.announced
    try:
        return run.groups.group() if run.groups is not None and held else None
    except ValueError as error:
        pytest.fail(f"not judged: --ralph-cgroup: {error}", pytrace=False)


def _culprits(item: pytest.Item, case: Case, player: Player, cap: MemoryCap) -> Culprit | None:
    """Play once more to find the lines that use so much; None if they are not found."""
    # A single line may go far beyond the limit.
    meter = Meter(replace(cap, stop=cap.limit * 2 + _BEYOND))
    child = Child()
    isolation.flush(item)
    with tempfile.TemporaryDirectory() as folder:
        record = os.path.join(folder, "allocations") if allocations.available() else ""
        if child.fork():
            isolation.trace(child, case, player, meter, record)
        try:
            child.wait(_PATIENCE, [meter])
            if record:
                sizes = allocations.largest(record, case.locator)
                return isolation.culprit(sizes, tool=allocations.TOOL) if sizes else None
            return next((value for kind, value in child.told() if kind == "culprit"), None)
        finally:
            child.close()
            meter.close()


def _came(
    item: pytest.Item,
    case: Case,
    scenario: Scenario,
    ended: Ending,
    came: Came,
    meter: Meter | None,
    culprit: Culprit | None,
) -> Found:
    """What there is to judge of an isolated scenario, however it ended."""
    __tracebackhide__ = True
    if came.raised is not None and not ended.reason:
        item.stash[RESULT] = came.result
        isolation.reraise(item, came.raised)
    events: list[Event] = []
    now = came.found.plays[-1].timeline[-1].at if came.found and came.found.plays else 0.0
    if came.found is None or ended.reason:
        reason = ended.reason or "ended before the scenario did: the code ends its process"
        location = case.locator.pick(ended.frames)
        stack = tuple(
            f"at {case.locator.name(frame)}" for frame in ended.frames if case.locator.is_user(frame[0])
        )
        died = Died(at=now, reason=reason, location=location, stack=stack[:8])
        if scenario.memory is None and (scenario == HEALTHY or not came.healthy):
            problem = _broken(item, case, died.text(), location)
            pytest.fail(f"not judged: the call fails against the healthy answer\n{problem}", pytrace=False)
        events.append(died)
    found: Found = came.found if not events else Found(plays=[Play(scenario=scenario, timeline=Timeline())])
    if meter is not None:
        events.append(
            MemoryUsed(
                at=now,
                peak=meter.peak,
                limit=meter.cap.limit,
                mechanism=meter.mechanism,
                killed=meter.killed,
                location=(culprit and culprit.line) or case.locator.pick(ended.frames),
                holders=culprit.holders if culprit else (),
                tool=culprit.tool if culprit else "",
            )
        )
    plays = [
        replace(each, scenario=scenario, timeline=Timeline((*each.timeline, *events))) for each in found.plays
    ]
    return replace(found, plays=plays)


def _refuse_conflicts(item: pytest.Item, case: Case) -> None:
    """Refuse a gate without sockets: what the code makes of that says nothing about it."""
    __tracebackhide__ = True
    if socket.socket.__module__ == "pytest_socket":
        reason = (
            "pytest-socket has disabled sockets, and simulated services are reached by them; in a gated test "
            "only declared services and loopback can be reached"
        )
        problem = _broken(item, case, reason, None, "@pytest.mark.enable_socket to the test")
        pytest.fail(f"not judged: it cannot reach the simulated services\n{problem}", pytrace=False)


def _note_properties(
    item: pytest.Item, case: Case, scenario: Scenario, records: Sequence[Mapping[str, Any]]
) -> None:
    """Verdicts as properties of the test, which JUnit XML and other reporters show."""
    features = dict.fromkeys(gate.feature for gate in case.gates)
    mine = [("ralph.feature", each) for each in features]
    mine.append(("ralph.scenario", scenario.id))
    mine += [(f"ralph.{each['criterion']}", each["status"]) for each in records]
    # A test that is run again has them from before.
    others = [each for each in item.user_properties if not each[0].startswith("ralph.")]
    item.user_properties[:] = [*others, *mine]


def _waived(run: Run, case: Case, record: Mapping[str, Any]) -> bool:
    """Whether what a record says need not hold, and so does not fail the test."""
    feature = case.gates[record["gate"]].feature
    return any(
        waiver.covers(feature, record["criterion"]) and not expired(waiver, run.today)
        for waiver in run.policy.waivers
    )


def _manual(player: Player, case: Case, scenario: Scenario) -> Generator[None, Any, list[Play]]:
    with player.call():
        yield
    return [_healthy(case, scenario)]


def _healthy(case: Case, scenario: Scenario) -> Play:
    return Play(scenario=scenario, timeline=case.world.timeline)


def _first_call(case: Case) -> Generator[None, Any, Any]:
    __tracebackhide__ = True
    refused = None
    try:
        return (yield)
    except BaseException as error:
        if ending(error) is not None:
            refused = _never_came_back
        elif isinstance(error, Exception) and _strays(case):
            refused = _refuse_strays
        else:
            raise
    finally:
        case.world.recorder.call_is_over()
    return refused(case)


def _never_came_back(case: Case) -> None:
    __tracebackhide__ = True
    lines = "\n".join(f"  {line}" for line in case.world.timeline.lines())
    pytest.fail(f"pytest-ralph: the call never ends\n{lines}", pytrace=False)


def _baseline(
    item: pytest.Item, player: Player, case: Case, scenario: Scenario
) -> Generator[None, Any, None]:
    """The healthy call: it must succeed, or nothing else means anything."""
    __tracebackhide__ = True
    problem = None
    try:
        with case.world.outlasting(), player.call():
            yield
    except (Exception, Ended) as error:
        problem = _broken(item, case, _told(error), case.locator.of(error.__traceback__))
        if _is_outcome(error, scenario):
            problem = None
        elif scenario.fault is None and isinstance(error, Exception) and not _strays(case):
            raise
    # What the code made of the refusal matters less than the refusal.
    for stray in _strays(case)[:1]:
        problem = _broken(item, case, stray.text(), stray.location, stray.advice)
    if problem:
        pytest.fail(f"not judged: the call fails against the healthy answer\n{problem}", pytrace=False)


def _is_outcome(error: BaseException, scenario: Scenario) -> bool:
    """Whether a failing healthy call is what a scenario wants to see: it can be, where memory is short."""
    cap = scenario.memory
    return cap is not None and (isinstance(error, MemoryError) or cap.announced)


def _told(error: BaseException) -> str:
    if isinstance(error, Ended):
        return "the call never ends"
    text = short(str(error), _LONGEST_REASON)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _broken(item: pytest.Item, case: Case, reason: str, location: Location | None, advice: str = "") -> str:
    """Note that the gate cannot be judged, and why. Returns the same as text."""
    timeline = case.world.timeline
    secrets = (*declared(secrets_of(item)), *sent(timeline))
    reason = hidden(reason, secrets)
    item.stash[RESULT] = {
        "broken": {
            "reason": f"{reason}; add {advice}" if advice else reason,
            "location": location.to_json() if location else None,
            "timeline": hidden(timeline.lines(), secrets),
        }
    }
    where = f"\n  Where    {location}" if location else ""
    add = f"\n  Add      {advice}" if advice else ""
    return f"  Observed {reason}{where}{add}"


def _strays(case: Case) -> list[Outside | Unmatched]:
    timeline = case.world.timeline
    return [*timeline.of(Outside), *timeline.of(Unmatched)]


def _refuse_strays(case: Case) -> None:
    """Fail a test whose traffic was not all declared, even if the code swallowed the error."""
    __tracebackhide__ = True
    strays = _strays(case)
    if strays:
        lines = [f"{stray.text()}{_at(stray)}\n  Add      {stray.advice}" for stray in strays]
        pytest.fail("pytest-ralph: not all traffic is declared\n" + "\n".join(lines), pytrace=False)


def _at(stray: Outside | Unmatched) -> str:
    return f" ({stray.location})" if stray.location else ""
