"""The lock: what a person agreed to, compared with what is there. Pure functions over plain data.

What weakens a gate is told; adding gates and tightening them is fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

SCHEMA = "pytest-ralph/lock"
SCHEMA_VERSION = "1.0"
FILE = "ralph.lock"

Change = dict[str, str]
Eased = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Sequence[str]]

_EMPTY: Mapping[str, Any] = {
    "features": {},
    "waivers": [],
    "hosts": [],
    "locked": [],
    "plugins": [],
    "paths": [],
}


def compare(agreed: Mapping[str, Any], now: Mapping[str, Any], eased: Eased, *, whole: bool) -> list[Change]:
    """What is weaker than what was agreed upon.

    Args:
        agreed: The lock.
        now: What would be locked now.
        eased: How parameters of a skill differ, unless they are as strict: id of the skill, old and new.
        whole: Whether everything was collected; if not, nothing can be said to be missing.
    """
    return [
        *_gates(agreed["tests"], now["tests"], eased, whole=whole),
        *_modules(agreed["modules"], now["modules"]),
        *_files("conftest", agreed["conftests"], now["conftests"], whole=whole),
        *_new_conftests(agreed["conftests"], now["conftests"]),
        *_files("file", agreed["files"], now["files"], whole=True),
        *_configuration(agreed["configuration"], now["configuration"]),
        *_policy({**_EMPTY, **agreed["policy"]}, {**_EMPTY, **now["policy"]}),
        *_plugins(agreed["plugins"], now["plugins"], now["policy"].get("plugins", ())),
    ]


def _change(kind: str, subject: str, text: str) -> Change:
    return {"kind": kind, "subject": subject, "text": text}


def _gates(
    agreed: Mapping[str, Any], now: Mapping[str, Any], eased: Eased, *, whole: bool
) -> Iterator[Change]:
    for test, old in agreed.items():
        new = now.get(test)
        if new is not None:
            yield from _test(test, old, new, eased)
        elif whole:
            moved = [name for name, each in now.items() if name not in agreed and each["body"] == old["body"]]
            gone = (
                f"was renamed to {moved[0]}" if moved else "was removed, or is no longer collected or gated"
            )
            yield _change("gate", test, gone)


def _test(test: str, old: Mapping[str, Any], new: Mapping[str, Any], eased: Eased) -> Iterator[Change]:
    if old["feature"] != new["feature"]:
        yield _change("gate", test, f"is of feature {new['feature']}, was of {old['feature']}")
    if old["body"] != new["body"]:
        yield _change("source", test, "its body has changed")
    for name, digest in old["uses"].items():
        if new["uses"].get(name) != digest:
            what = "has changed" if name in new["uses"] else "is no longer used"
            yield _change("fixture", test, f"what it uses, {name}, {what}")
    for name in new["uses"]:
        # A fixture in the test module overrides one of the same name that was agreed upon elsewhere.
        if name not in old["uses"] and old["body"] == new["body"]:
            yield _change("fixture", test, f"it uses {name}, which it did not")
    for mark in new["marks"]:
        if mark not in old["marks"]:
            yield _change("gate", test, f"has a new mark: {mark}")
    for mark in old["marks"]:
        if mark not in (*new["marks"], "skip", "skipif", "xfail"):
            yield _change("gate", test, f"has lost a mark: {mark}")
    yield from _skills(test, old["gates"], new["gates"], eased)


def _skills(
    test: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], eased: Eased
) -> Iterator[Change]:
    left = list(new)
    for gate in old:
        skill = gate["skill"]
        same = [each for each in left if each["skill"] == skill]
        if not same:
            yield _change("gate", f"{test} {skill}", "was removed")
            continue
        # Of several gates with one skill, the one that differs least.
        found = min(same, key=lambda each: len(_weaker(gate, each, eased)))
        left.remove(found)
        for text in _weaker(gate, found, eased):
            yield _change("gate", f"{test} {skill}", text)


def _weaker(old: Mapping[str, Any], new: Mapping[str, Any], eased: Eased) -> list[str]:
    found = list(eased(old["skill"], old["parameters"], new["parameters"]))
    missing = [each for each in old["criteria"] if each not in new["criteria"]]
    unplayed = [each for each in old["scenarios"] if each not in new["scenarios"]]
    if missing:
        found.append(f"no longer judges {', '.join(missing)}")
    # With other parameters other scenarios are played; that is what has been told then.
    if unplayed and old["parameters"] == new["parameters"]:
        found.append(f"no longer plays {', '.join(unplayed)}")
    return found


def _modules(agreed: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    for path, digest in agreed.items():
        if path in now and now[path] != digest:
            yield _change("source", path, "what it does on import has changed")


def _files(kind: str, agreed: Mapping[str, str], now: Mapping[str, str], *, whole: bool) -> Iterator[Change]:
    for path, digest in agreed.items():
        if path in now and now[path] != digest:
            yield _change(kind, path, "has changed" if now[path] else "was removed")
        elif path not in now and whole:
            yield _change(kind, path, "is gone, or no longer loaded")


def _new_conftests(agreed: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    for path in now:
        if path not in agreed:
            yield _change("conftest", path, "is new, and may change any outcome")


def _configuration(agreed: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for key in dict.fromkeys((*agreed, *now)):
        if agreed.get(key) != now.get(key):
            yield _change("configuration", key, f"{now.get(key)}, was {agreed.get(key)}")


def _plugins(agreed: Sequence[str], now: Sequence[str], allowed: Sequence[str]) -> Iterator[Change]:
    for name in now:
        if name not in agreed and name not in allowed:
            yield _change("plugin", name, "is new; if it may be there, name it in plugins of the policy")


def _policy(agreed: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for waiver in now["waivers"]:
        if waiver not in agreed["waivers"]:
            name = f"{waiver['feature']}/{waiver['criterion']}"
            yield _change("policy", f"waiver {name}", "is new, or says something else")
    for key, verb in (("hosts", "is allowed now"), ("plugins", "is allowed now")):
        for each in now[key]:
            if each not in agreed[key]:
                yield _change("policy", f"{key} {each}", verb)
    for each in agreed["locked"]:
        if each not in now["locked"]:
            yield _change("policy", f"locked {each}", "is no longer locked")
    if agreed["paths"] != now["paths"]:
        yield _change("policy", "paths", f"{now['paths']}, was {agreed['paths']}")
    yield from _demand("every feature", agreed.get("demand", {}), now.get("demand", {}))
    for feature, demand in agreed["features"].items():
        if feature not in now["features"]:
            yield _change("policy", f"feature {feature}", "need no longer be there")
        else:
            yield from _demand(f"feature {feature}", demand, now["features"][feature])
    yield from _levels(agreed.get("levels", {}), now.get("levels", {}))


def _demand(subject: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for skill in old.get("required", ()):
        if skill not in new.get("required", ()):
            yield _change("policy", subject, f"no longer requires {skill}")
    for phase, least in old.get("minimum", {}).items():
        now = new.get("minimum", {}).get(phase, 0)
        if now < least:
            yield _change("policy", subject, f"needs {now} skills of phase {phase}, was {least}")
    if old.get("level", "") and old["level"] != new.get("level", ""):
        yield _change("policy", subject, f"level {new.get('level') or 'none'}, was {old['level']}")


def _levels(old: Mapping[str, Sequence[str]], new: Mapping[str, Sequence[str]]) -> Iterator[Change]:
    for level, skills in old.items():
        for skill in skills:
            if skill not in new.get(level, ()):
                yield _change("policy", f"level {level}", f"no longer includes {skill}")
