"""Ensembles: the ways of voting against the members alone, and what each member contributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.analysis import estimates
from lab.analysis.estimates import arm_mean, measured, over_seeds
from lab.records.study import merit
from lab.report import tables
from lab.report.figures.arms import MOST_METRICS, arms
from lab.report.figures.drawing import BLUE, GREY, Picture, canvas, interval, key, png, points, ruled, spread, wrapped

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.records.study import Study


def ensemble(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The ways of voting against the members alone, and what each member contributes where the design tells."""
    import pandas as pd

    assert verdict.metric is not None
    found = tables.members(study, verdict.metric)
    alone: dict[str, dict[int, float]] = {}
    for row in found.drop_duplicates(["member", "commit"]).itertuples():  # the same model is no replicate
        alone.setdefault(str(row.member), {})[int(row.seed)] = float(row.value)  # type: ignore[arg-type]
    lines = [{"arm": f"{name} alone", "values": values} for name, values in alone.items()]
    picture = arms(study, verdict, [verdict.metric, *study.metrics[1:]][:MOST_METRICS], lines)
    sentence = best_member(study, verdict.metric, alone)
    yield Picture(picture.name, f"{picture.caption} {sentence}".strip(), picture.data, picture.png)
    parts = without_one(study, verdict.metric)
    if not parts:
        yield Picture(
            "members",
            "What each member contributes is not shown: no arm leaves one of four or more members out. "
            "Arms such as `all: infer.members=[a,b,c,d]` and `without_d: infer.members=[a,b,c]` would tell.",
        )
        return
    figure, axes = canvas(1.1 + 0.34 * len(parts))
    rows: list[dict[str, Any]] = []
    for y, (name, changes) in enumerate(parts.items()):
        mean = over_seeds(study, verdict.metric, changes)
        points(axes, changes, study.design.seeds, y, BLUE)
        interval(axes, mean.value, mean.low, mean.high, y, BLUE)
        told = {"mean": mean.value, "low": mean.low, "high": mean.high}
        rows += [{"member": name, "seed": seed, "change": value} | told for seed, value in changes.items()]
    axes.axvline(0, color=GREY, lw=1)
    axes.set(yticks=range(len(parts)), yticklabels=wrapped(parts), xlabel=f"change in {tables.title(verdict.metric)}")
    axes.set_title("what changes when one member is left out")
    axes.set_ylim(len(parts) - 0.5, -0.5)
    ruled(axes)
    key(figure, any(row["low"] is not None for row in rows))
    yield Picture("members", "A change below zero: the member is missed.", pd.DataFrame(rows), png(figure))


def best_member(study: Study, metric: str, alone: dict[str, dict[int, float]]) -> str:
    """How the ensembles do beside the best of their members, in a sentence; the reference's differences are in the table."""
    sign = merit(study.design, metric)
    if not alone:
        return "The members' own results are not in this repository's history."
    means = {name: arm_mean(study, metric, values) for name, values in alone.items()}
    best = max(means, key=lambda name: sign * means[name].value)
    value = f"{means[best].value:.3g} {spread(means[best].value, means[best].low, means[best].high)}".strip()
    if measured(study.arms.get(study.reference or "", []), metric) == alone[best]:
        return f"The best member is {best} with {value}, the same as {study.reference}."
    parts = []
    for arm, rows in study.arms.items():
        if not any(tables.param(row, "infer.members") not in ("", "[]") for row in rows):
            continue
        values = measured(rows, metric)
        pairs = {seed: value - alone[best][seed] for seed, value in values.items() if seed in alone[best]}
        if pairs:
            change = over_seeds(study, metric, pairs)
            parts.append(f"{arm} {change.value:+.3g}{estimates.interval(change)}")
    return f"The best member is {best} with {value}; against it, over the seeds: {', '.join(parts)}." if parts else ""


def without_one(study: Study, metric: str) -> dict[str, dict[int, float]]:
    """The change of an ensemble by seed when one member is left out, by the arms of the design that do so."""
    teams = {}
    for row in study.rows:
        value = row.value(metric)
        members = row.record.params.get("infer", {}).get("members") if row.record else None
        if members and value is not None and row.record:
            teams[row.arm, row.seed] = (frozenset(members), row.record.params["infer"].get("voting"), value)
    found: dict[str, dict[int, float]] = {}
    for (_, seed), (whole, voting, value) in teams.items():
        for (arm, other), (part, way, less) in teams.items():
            if other == seed and way == voting and part < whole and len(whole - part) == 1:
                found.setdefault(arm, {})[seed] = less - value
    return found
