"""Ensembles: the ways of combining models against the members alone, and what each member contributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import arm_mean, mean_change
from lab.analysis.wording import with_interval
from lab.design.plan import MEMBERSHIP
from lab.nested_keys import flat, get
from lab.report.figures.arms import beside_each_other
from lab.report.figures.drawing import BLUE, GREY, Picture, canvas, interval, key, points, ruled, spread, wrapped

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure
    from lab.records.commit import Commit
    from lab.study import Record, Study

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
Values = dict[int, float]  # by seed


def members(entry: Figure, study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The arms beside their members alone, and what each member contributes where the design tells."""
    assert verdict.metric is not None
    alone = members_alone(study, verdict.metric)
    picture = beside_each_other(study, verdict, {f"{name} alone": values for name, values in alone.items()})
    sentence = best_member(study, verdict.metric, alone)
    yield replace(picture, caption=f"{picture.caption} {sentence}".strip())
    yield contributions(study, verdict.metric)


def contributions(study: Study, metric: str) -> Picture:
    """The change when one member is left out."""
    import pandas as pd

    changes = without_one(study, metric)
    if not changes:
        several, enough = study.contract.model_keys.several, study.contract.model_keys.least + 1
        return Picture(
            "members",
            "What each member contributes is not shown: "
            f"no arm leaves one of {NUMBERS.get(enough, enough)} or more members out. "
            f"Arms such as `all: {several}=[a,b,c,d]` and `without_d: {several}=[a,b,c]` would tell.",
        )
    figure, axes = canvas(1.1 + 0.34 * len(changes))
    rows: list[dict[str, Any]] = []
    for y, (name, values) in enumerate(changes.items()):
        mean = mean_change(study, metric, values)
        points(axes, values, study.seeds, y, BLUE)
        interval(axes, mean.value, mean.low, mean.high, y, BLUE)
        ends = {"mean": mean.value, "low": mean.low, "high": mean.high}
        rows += [{"member": name, "seed": seed, "change": value} | ends for seed, value in values.items()]
    axes.axvline(0, color=GREY, lw=1)
    label = study.metric(metric).label
    axes.set(yticks=range(len(changes)), yticklabels=wrapped(changes), xlabel=f"change in {label}")
    axes.set_title("what changes when one member is left out")
    axes.set_ylim(len(changes) - 0.5, -0.5)
    ruled(axes)
    key(figure, any(row["low"] is not None for row in rows))
    return Picture("members", "A change below zero: the member is missed.", pd.DataFrame(rows), figure)


def members_alone(study: Study, metric: str) -> dict[str, Values]:
    """What each member does alone, by its name and then seed, by the runs that made it.

    A member is called by its own design and arm. Left out are those whose own evaluation was on other data, on
    another part of them or in another metric, and those that no commit here stands for.
    """
    alone: dict[str, Values] = {}
    seen: set[tuple[str, str]] = set()
    for replicate in study.replicates:
        for name in members_of(study, replicate.record) if replicate.finished else []:
            own = _own_result(study, replicate.record, name, metric)
            if own and (own[0], name) not in seen:  # the same model is no replicate
                seen.add((own[0], name))
                alone.setdefault(own[0], {})[replicate.seed] = own[1]
    return alone


def members_of(study: Study, record: Record) -> list[str]:
    """The models that a run combines; empty for one that takes a single one."""
    several = study.contract.model_keys.several
    return [str(name) for name in get(record.params, several) or []] if several else []


def _own_result(study: Study, record: Record, name: str, metric: str) -> tuple[str, float] | None:
    """The name and the metric of a member's own run, where it was measured as the ensemble is."""
    rev = study.project.git.resolve(name)
    if rev is None:
        return None
    commit = study.project.commit(rev)
    value, block = get(commit.metrics, metric), commit.params.get(MEMBERSHIP) or {}
    if not _same_test(study, commit, record) or not isinstance(value, int | float):
        return None
    return (f"{block['design']}:{block['arm']}" if block else name[:7]), float(value)


def _same_test(study: Study, commit: Commit, record: Record) -> bool:
    """Whether two runs were tested on the same items."""
    contract = study.contract
    dataset = contract.dataset.output if contract.dataset else ""
    hashes = [outputs.get(dataset, {}).get("md5") for outputs in (commit.outputs, record.outputs)]
    alike = all(get(commit.params, key) == get(record.params, key) for key in contract.test_split)
    return alike and hashes[0] == hashes[1]


def best_member(study: Study, metric: str, alone: dict[str, Values]) -> str:
    """How the ensembles do beside the best of their members, in a sentence; the table has what the reference does."""
    if not alone:
        return "The members' own results are not in this repository's history."
    means = {name: arm_mean(study, metric, values) for name, values in alone.items()}
    best = max(means, key=lambda name: study.merit(metric) * means[name].value)
    value = f"{means[best].value:.3g} {spread(means[best].value, means[best].low, means[best].high)}".strip()
    if study.values(study.reference, metric) == alone[best]:
        return f"The best member is {best} with {value}, the same as {study.reference}."
    parts = []
    for arm, replicates in study.arms.items():
        if not any(replicate.record and members_of(study, replicate.record) for replicate in replicates):
            continue
        values = study.values(arm, metric)
        pairs = {seed: value - alone[best][seed] for seed, value in values.items() if seed in alone[best]}
        if pairs:
            change = mean_change(study, metric, pairs)
            parts.append(f"{arm} {with_interval(change)}")
    return f"The best member is {best} with {value}; against it, over the seeds: {', '.join(parts)}." if parts else ""


def without_one(study: Study, metric: str) -> dict[str, Values]:
    """The change of an ensemble by seed when one member is left out, by the arms of the design that do so."""
    teams = {}
    for replicate in study.replicates:
        value = replicate.value(metric)
        team = frozenset(members_of(study, replicate.record)) if replicate.record else frozenset()
        if team and value is not None:
            teams[replicate.arm, replicate.seed] = (team, _other_settings(study, replicate.record), value)
    changes: dict[str, Values] = {}
    for (_, seed), (whole, settings, value) in teams.items():
        for (arm, other_seed), (part, others, less) in teams.items():
            if other_seed == seed and others == settings and part < whole and len(whole - part) == 1:
                changes.setdefault(arm, {})[seed] = less - value
    return changes


def _other_settings(study: Study, record: Record) -> dict[str, Any]:
    """A run's settings but for its members."""
    several = study.contract.model_keys.several
    config = flat({key: value for key, value in record.params.items() if key != MEMBERSHIP})
    return {key: value for key, value in config.items() if key != several}
