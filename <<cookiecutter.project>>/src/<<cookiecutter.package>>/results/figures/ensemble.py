"""Ensembles: the ways of voting against the members alone, and what each member contributes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .. import tables
from ..estimates import measured
from .arms import MOST_METRICS, arms
from .drawing import BLUE, GREY, Picture, canvas, interval, key, png, points, ruled, wrapped

if TYPE_CHECKING:
    import pandas as pd

    from ..study import Study
    from ..verdict import Verdict


def ensemble(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The ways of voting against the members alone, and what each member contributes where the design tells."""
    import pandas as pd

    assert verdict.metric is not None
    found = tables.members(study, verdict.metric)
    alone: dict[str, dict[int, float]] = {}
    for row in found.itertuples():
        alone.setdefault(str(row.member), {})[int(row.seed)] = float(row.value)  # type: ignore[arg-type]
    lines = [{"arm": f"{name} alone", "values": values} for name, values in alone.items()]
    picture = arms(study, verdict, [verdict.metric, *study.metrics[1:]][:MOST_METRICS], lines)
    sentence = best_member(study, verdict, alone)
    yield Picture(picture.name, f"{picture.caption} {sentence}".strip(), picture.data, picture.png)
    parts: Any = without_one(study, verdict.metric)
    if parts.empty:
        yield Picture(
            "members",
            "What each member contributes is not shown: no arm leaves one of four or more members out. "
            "Arms such as `all: infer.members=[a,b,c,d]` and `without_d: infer.members=[a,b,c]` would tell.",
        )
        return
    figure, axes = canvas(1.1 + 0.34 * parts["member"].nunique())
    names = list(dict.fromkeys(parts["member"]))
    for y, name in enumerate(names):
        own: Any = parts[parts["member"] == name]
        points(axes, dict(zip(own["seed"], own["change"], strict=True)), study.design.seeds, y, BLUE)
        interval(axes, own["change"].mean(), None, None, y, BLUE)
    axes.axvline(0, color=GREY, lw=1)
    axes.set(yticks=range(len(names)), yticklabels=wrapped(names), xlabel=f"change in {tables.title(verdict.metric)}")
    axes.set_title("what changes when one member is left out")
    axes.set_ylim(len(names) - 0.5, -0.5)
    ruled(axes)
    key(figure, False)
    yield Picture("members", "A change below zero: the member is missed.", pd.DataFrame(parts), png(figure))


def best_member(study: Study, verdict: Verdict, alone: dict[str, dict[int, float]]) -> str:
    """How the ensembles do beside the best of their members, in a sentence."""
    assert verdict.metric is not None
    sign = 1 if verdict.direction == "maximize" else -1
    if not alone:
        return "The members' own results are not in this repository's history."
    means = {name: sum(values.values()) / len(values) for name, values in alone.items()}
    best = max(means, key=lambda name: sign * means[name])
    parts = []
    for arm, rows in study.arms.items():
        if not any(tables.param(row, "infer.members") not in ("", "[]") for row in rows):
            continue
        values = measured(rows, verdict.metric)
        pairs = [value - alone[best][seed] for seed, value in values.items() if seed in alone[best]]
        if pairs:
            parts.append(f"{arm} {sum(pairs) / len(pairs):+.3g}")
    return f"The best member is {best} with {means[best]:.3g}; against it: {', '.join(parts)}." if parts else ""


def without_one(study: Study, metric: str) -> pd.DataFrame:
    """The change of an ensemble when one member is left out, where the design has such arms: member, seed, change."""
    import pandas as pd

    teams = {}
    for row in study.rows:
        value = row.value(metric)
        members = row.record.params.get("infer", {}).get("members") if row.record else None
        if members and value is not None and row.record:
            teams[row.arm, row.seed] = (frozenset(members), row.record.params["infer"].get("voting"), value)
    found = []
    for (_, seed), (whole, voting, value) in teams.items():
        for (arm, other), (part, way, less) in teams.items():
            if other == seed and way == voting and part < whole and len(whole - part) == 1:
                found.append({"member": arm, "seed": seed, "change": less - value})
    return pd.DataFrame(found, columns=["member", "seed", "change"])
