"""What a team agreed upon: required skills, waivers, allowed hosts, defaults. Parsed and checked.

The table ``[tool.ralph]`` of ``pyproject.toml``, or the whole of ``ralph.toml``. Files are not read here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_ralph.core.skill import PHASES


class PolicyError(ValueError):
    """Something in the policy makes no sense.

    Args:
        file: The file it stands in.
        key: Where in it, such as ``tool.ralph.waivers[0].expires``.
        value: What stands there.
        expected: What was expected.
    """

    def __init__(self, file: str, key: str, value: object, expected: str) -> None:
        super().__init__(f"{file}: {key}: expected {expected}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """A criterion that need not hold, for a while.

    Attributes:
        feature: The feature.
        criterion: Id of a criterion such as ``retry.backoff``, or of a skill for all of its criteria.
        reason: Why.
        owner: Who answers for it.
        expires: The last day on which it holds.
    """

    feature: str
    criterion: str
    reason: str
    owner: str
    expires: dt.date

    @property
    def name(self) -> str:
        """What it waives, such as ``payments/retry.backoff``."""
        return f"{self.feature}/{self.criterion}"

    def covers(self, feature: str, criterion: str) -> bool:
        """Whether it is about a criterion."""
        return self.feature == feature and self.criterion in (criterion, criterion.partition(".")[0])

    def to_json(self) -> dict[str, str]:
        """The form the report and the lock use."""
        return {
            "feature": self.feature,
            "criterion": self.criterion,
            "reason": self.reason,
            "owner": self.owner,
            "expires": self.expires.isoformat(),
        }


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a feature must have.

    Attributes:
        required: Ids of skills that it must be gated with.
        minimum: How many skills of a phase it must be gated with, at least.
        level: The level that it must reach; empty for none.
    """

    required: tuple[str, ...] = ()
    minimum: Mapping[str, int] = field(default_factory=dict)
    level: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form the lock uses."""
        return {"required": list(self.required), "minimum": dict(self.minimum), "level": self.level}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a team agreed upon.

    Attributes:
        paths: What a full run covers, relative to the root; pytest's ``testpaths`` if empty.
        demand: What every feature must have.
        features: What features by name must have besides; each of them must be there.
        levels: Skills by level, the lowest level first; a level includes those before it.
        waivers: What need not hold, for a while.
        hosts: Hosts that gated tests may reach besides the declared ones.
        defaults: Arguments of markers by skill, for those that are not given.
        locked: Further files that the lock covers, as patterns relative to the root.
        plugins: Plugins that may be loaded although the lock does not know them.
    """

    paths: tuple[str, ...] = ()
    demand: Demand = field(default_factory=Demand)
    features: Mapping[str, Demand] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    hosts: tuple[str, ...] = ()
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    locked: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form the lock uses."""
        return {
            "paths": list(self.paths),
            "demand": self.demand.to_json(),
            "features": {name: each.to_json() for name, each in sorted(self.features.items())},
            "levels": {name: list(skills) for name, skills in self.levels.items()},
            "waivers": [waiver.to_json() for waiver in self.waivers],
            "hosts": list(self.hosts),
            "locked": list(self.locked),
            "plugins": list(self.plugins),
        }


_DEMANDS = ("required", "minimum", "level")
KEYS = ("paths", *_DEMANDS, "levels", "features", "waivers", "hosts", "defaults", "locked", "plugins")
_WAIVER_KEYS = ("feature", "criterion", "reason", "owner", "expires")
_TEXTS = "a list of texts"


def parse(table: Mapping[str, Any], *, file: str, prefix: str, skills: Sequence[str]) -> Policy:
    """Read and check a policy.

    Args:
        table: What TOML gives.
        file: Name of the file, for errors.
        prefix: What stands before each key, for errors, such as ``tool.ralph``.
        skills: Ids of the skills there are.

    Raises:
        PolicyError: A key is unknown, or a value is not what was expected.
    """
    return _Reader(file=file, skills=tuple(skills)).policy(table, prefix)


@dataclass(frozen=True, kw_only=True)
class _Reader:
    file: str
    skills: tuple[str, ...]

    def policy(self, table: Mapping[str, Any], prefix: str) -> Policy:
        self._known(table, prefix, KEYS)
        at = f"{prefix}." if prefix else ""
        levels = {
            name: self._skills(skills, f"{at}levels.{name}")
            for name, skills in self._table(table.get("levels", {}), f"{at}levels").items()
        }
        features = self._table(table.get("features", {}), f"{at}features")
        for name, own in features.items():
            self._known(self._table(own, f"{at}features.{name}"), f"{at}features.{name}", _DEMANDS)
        return Policy(
            paths=self._texts(table.get("paths", []), f"{at}paths"),
            demand=self._demand(table, prefix, levels),
            features={
                name: self._demand(own, f"{at}features.{name}", levels) for name, own in features.items()
            },
            levels=levels,
            waivers=self._waivers(table.get("waivers", []), f"{at}waivers"),
            hosts=self._texts(table.get("hosts", []), f"{at}hosts"),
            defaults=self._defaults(table.get("defaults", {}), f"{at}defaults"),
            locked=self._texts(table.get("locked", []), f"{at}locked"),
            plugins=self._texts(table.get("plugins", []), f"{at}plugins"),
        )

    def _wrong(self, key: str, value: object, expected: str) -> PolicyError:
        return PolicyError(self.file, key, value, expected)

    def _known(self, table: Mapping[str, Any], prefix: str, keys: Sequence[str]) -> None:
        for key, value in table.items():
            if key not in keys:
                name = f"{prefix}.{key}" if prefix else key
                raise self._wrong(name, value, f"one of the keys {', '.join(keys)}")

    def _table(self, value: object, key: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self._wrong(key, value, "a table")
        return value

    def _texts(self, value: object, key: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self._wrong(key, value, _TEXTS)
        return tuple(value)

    def _skills(self, value: object, key: str) -> tuple[str, ...]:
        named = self._texts(value, key)
        for each in named:
            if each not in self.skills:
                raise self._wrong(key, each, f"ids of skills; there are {', '.join(self.skills)}")
        return named

    def _demand(self, table: Mapping[str, Any], prefix: str, levels: Mapping[str, Any]) -> Demand:
        at = f"{prefix}." if prefix else ""
        minimum = self._table(table.get("minimum", {}), f"{at}minimum")
        for phase, least in minimum.items():
            if phase not in PHASES:
                raise self._wrong(f"{at}minimum", phase, f"phases; there are {', '.join(PHASES)}")
            if isinstance(least, bool) or not isinstance(least, int) or least < 1:
                raise self._wrong(f"{at}minimum.{phase}", least, "a whole number from 1")
        level = table.get("level", "")
        if level != "" and level not in levels:
            known = f"; there are {', '.join(levels)}" if levels else f", defined under {at}levels"
            raise self._wrong(f"{at}level", level, f"a level{known}")
        return Demand(
            required=self._skills(table.get("required", []), f"{at}required"),
            minimum=dict(minimum),
            level=level,
        )

    def _waivers(self, value: object, key: str) -> tuple[Waiver, ...]:
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list of tables")
        found = [self._waiver(each, f"{key}[{number}]") for number, each in enumerate(value)]
        for number, each in enumerate(found):
            if any(each.name == other.name for other in found[:number]):
                raise self._wrong(f"{key}[{number}]", each.name, "one waiver for each criterion")
        return tuple(found)

    def _waiver(self, value: object, key: str) -> Waiver:
        table = self._table(value, key)
        self._known(table, key, _WAIVER_KEYS)
        texts = {}
        for name in _WAIVER_KEYS[:4]:
            text = table.get(name)
            if not isinstance(text, str) or not text.strip():
                raise self._wrong(f"{key}.{name}", text, _WAIVER_TEXTS[name])
            texts[name] = text.strip()
        if texts["criterion"].partition(".")[0] not in self.skills:
            raise self._wrong(f"{key}.criterion", texts["criterion"], _WAIVER_TEXTS["criterion"])
        return Waiver(**texts, expires=self._date(table.get("expires"), f"{key}.expires"))

    def _date(self, value: object, key: str) -> dt.date:
        expected = "the last day on which it holds, such as 2030-12-31"
        if isinstance(value, dt.datetime):
            raise self._wrong(key, value, expected)
        if isinstance(value, dt.date):
            return value
        try:
            return dt.date.fromisoformat(str(value))
        except ValueError:
            raise self._wrong(key, value, expected) from None

    def _defaults(self, value: object, key: str) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for skill, arguments in self._table(value, key).items():
            self._skills([skill], key)
            found[skill] = dict(self._table(arguments, f"{key}.{skill}"))
        return found


_WAIVER_TEXTS: Mapping[str, str] = {
    "feature": "the name of a feature",
    "criterion": "the id of a criterion such as 'retry.backoff', or of a skill such as 'retry'",
    "reason": "why it need not hold",
    "owner": "who answers for it",
}


def expired(waiver: Waiver, today: dt.date) -> bool:
    """Whether a waiver does not hold any more."""
    return today > waiver.expires


def up_to(level: str, levels: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The skills of a level, those of the levels below included.

    Example:
        >>> up_to("silver", {"bronze": ["timeout"], "silver": ["retry"], "gold": ["fallback"]})
        ('timeout', 'retry')
    """
    found: list[str] = []
    for name, skills in levels.items():
        found += [each for each in skills if each not in found]
        if name == level:
            return tuple(found)
    return ()


def levels_reached(skills: Callable[[str], bool], levels: Mapping[str, Sequence[str]]) -> str:
    """The highest level whose skills, and those of the levels below, are all satisfied; empty for none.

    Args:
        skills: Whether a skill is satisfied.
        levels: Skills by level, the lowest first.
    """
    reached = ""
    for name, needed in levels.items():
        if not all(skills(each) for each in needed):
            break
        reached = name
    return reached
