"""A policy applied to the entries of a report: what is waived, and what is demanded and missing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_ralph.core.policy import Demand, Policy, expired, up_to
from pytest_ralph.report.findings import worst

Entry = dict[str, Any]
Problem = dict[str, Any]

_WAIVABLE = ("fail", "error", "not_exercised", "skipped")


def waive(skills: Sequence[Entry], policy: Policy, today: dt.date) -> None:
    """Mark what is waived in the entries of a report.

    A call that fails although everything is healthy is never waived: nothing is known of it.

    Args:
        skills: The entries; they are changed.
        policy: With the waivers.
        today: Waivers that expired before do not count.
    """
    live = [waiver for waiver in policy.waivers if not expired(waiver, today)]
    for skill in skills:
        if "problem" in skill:
            continue
        for criterion in skill["criteria"]:
            for waiver in live:
                if criterion["status"] in _WAIVABLE and waiver.covers(skill["feature"], criterion["id"]):
                    criterion["status"] = "waived"
                    criterion["waiver"] = {
                        "reason": waiver.reason,
                        "owner": waiver.owner,
                        "expires": waiver.expires.isoformat(),
                    }
        skill["status"] = worst(criterion["status"] for criterion in skill["criteria"])


def problems(skills: Sequence[Entry], policy: Policy, today: dt.date, *, full: bool) -> list[Problem]:
    """What the policy demands and the report does not give.

    Args:
        skills: The entries, with what is waived in them.
        policy: The policy.
        today: For what has expired.
        full: Whether everything was asked for; if not, nothing can be said to be missing.
    """
    found = [*_waivers(skills, policy, today, full=full)]
    if full:
        found += _missing_features(skills, policy)
        for feature in dict.fromkeys(skill["feature"] for skill in skills):
            found += _demands(feature, skills, policy.demand, policy)
            found += _demands(feature, skills, policy.features.get(feature, Demand()), policy)
    return list({each["subject"]: each for each in found}.values())


def _waivers(skills: Sequence[Entry], policy: Policy, today: dt.date, *, full: bool) -> Iterator[Problem]:
    for waiver in policy.waivers:
        about = [
            criterion
            for skill in skills
            for criterion in skill["criteria"]
            if waiver.covers(skill["feature"], criterion["id"])
        ]
        if expired(waiver, today):
            yield _problem(
                "expired-waiver",
                waiver.feature,
                f"waiver {waiver.name}",
                f"expired on {waiver.expires} (owner: {waiver.owner})",
                f"Repair {waiver.name}, then remove its waiver. Only {waiver.owner} may prolong it.",
            )
        elif _unused(about, full=full):
            yield _problem(
                "unused-waiver",
                waiver.feature,
                f"waiver {waiver.name}",
                "waives nothing: what it names holds, or is not there",
                f"Remove the waiver of {waiver.name} from the policy.",
            )


def _unused(about: Sequence[Mapping[str, Any]], *, full: bool) -> bool:
    statuses = {criterion["status"] for criterion in about}
    if "waived" in statuses or "not_run" in statuses:
        return False
    return bool(about) or full


def _missing_features(skills: Sequence[Entry], policy: Policy) -> Iterator[Problem]:
    there = {skill["feature"] for skill in skills}
    for feature in policy.features:
        if feature not in there:
            yield _problem(
                "missing-feature",
                feature,
                f"feature {feature}",
                "has no gate, and the policy names it",
                f"Write a test that makes one ordinary call of {feature}, mark it "
                f'@ralph.feature("{feature}") and add the skills that the policy demands.',
            )


def _demands(feature: str, skills: Sequence[Entry], demand: Demand, policy: Policy) -> Iterator[Problem]:
    gated = {skill["id"]: skill["phase"] for skill in skills if skill["feature"] == feature}
    for skill in demand.required:
        if skill not in gated:
            yield _absent(feature, skill, "is required")
    for skill in up_to(demand.level, policy.levels) if demand.level else ():
        if skill not in gated and skill not in demand.required:
            yield _absent(feature, skill, f"belongs to level {demand.level}")
    for phase, least in demand.minimum.items():
        there = sorted(skill for skill, its in gated.items() if its == phase)
        if len(there) < least:
            yield _problem(
                "too-few-skills",
                feature,
                f"feature {feature}, phase {phase}",
                f"has {len(there)} of at least {least} skills ({', '.join(there) or 'none'})",
                f"Gate the feature {feature} with {least - len(there)} more of phase {phase}: add markers to "
                "its test (pytest-ralph explain lists the skills), then make the code pass them.",
            )


def _absent(feature: str, skill: str, why: str) -> Problem:
    marker = skill.replace("-", "_")
    return _problem(
        "missing-skill",
        feature,
        f"feature {feature}, skill {skill}",
        f"has no gate, and {why}",
        f"Gate the feature {feature} with {skill}: add @ralph.{marker} to its test "
        f"(pytest-ralph explain {skill} shows what it judges), then make the code pass it.",
    )


def _problem(kind: str, feature: str, subject: str, text: str, prompt: str) -> Problem:
    return {"kind": kind, "feature": feature, "subject": subject, "text": text, "prompt": prompt}
