"""Whether a run may become the champion: measured by its design's own rule against the champion of now.

Both on the same data, by the same code and with the same seeds. Each objection is a sentence with its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from ..design.models import ComparisonConfig, ComparisonDesign, Hypothesis
from ..design.plan import run_key
from ..design.power import ALPHA
from . import checkout, examples, planning, records, statistics, verdict
from .decisions import INVALID, SUPPORTED
from .estimates import arm_mean, interval, measured, oriented
from .records import FINISHED, Record
from .study import Row, Study

if TYPE_CHECKING:
    from .champion import Champion
    from .verdict import Verdict

NAME = "champion"  # the arm that the candidate is measured against
OF_A_CLASS = ("f1", "AP50_95")  # what is looked at class by class
LEAST_SEEDS = 2


def objections(study: Study, found: Verdict, row: Row, champion: Champion | None) -> list[str]:
    """Why a run of a study should not become the champion; empty where nothing speaks against it."""
    said = [*stale(study), *lucky(study, found, row)]
    if found.outcome == INVALID:
        said.append(f"{study.design.name} is INVALID: {found.reasons[0]}")
    elif champion is None:
        if study.design.hypothesis and found.winner != row.arm:
            winner = f"its winner is {found.winner}" if found.winner else "no arm of it has won"
            said.append(f"{study.design.name} is {found.outcome}, and {winner}: {found.reasons[0]}")
    else:
        said += against(study, found, row, champion)
    return said


def stale(study: Study) -> Iterator[str]:
    """A baseline that is no longer in HEAD's history."""
    head = planning.head(study.root)
    git = checkout.repository(study.root)
    if head and head != study.commit and not git.descendant_of(head, study.commit):
        missing, more = git.ahead_behind(study.commit, head)
        yield (
            f"a stale baseline: the runs started from {study.commit[:7]}, not in HEAD's history: it has {missing} "
            f"commits that HEAD lacks, and HEAD has {more} others. Run the design again on this branch"
        )


def lucky(study: Study, found: Verdict, row: Row) -> Iterator[str]:
    """A run that does not stand for its arm."""
    metric = found.metric
    values = measured(study.arms[row.arm], metric)
    own = values.get(row.seed)
    if metric is None or own is None:
        return
    if len(values) < LEAST_SEEDS:
        yield f"a lucky seed can't be told: {row.arm} has one seed, {row.seed}, with {own:.4g} in {metric}"
        return
    arm = arm_mean(study, metric, values)
    ends = oriented(arm, _sign(found)).high
    if ends is not None and _sign(found) * own > ends:
        yield (
            f"a lucky seed: {row.arm} with seed {row.seed} has {own:.4g} in {metric}, beyond what {arm.n} seeds show: "
            f"{arm.value:.4g} on the mean, 95 % interval {arm.low:.4g} to {arm.high:.4g}"
        )


def against(study: Study, found: Verdict, row: Row, champion: Champion) -> Iterator[str]:
    """What speaks for the champion: the design's rule, its guardrails, or a class or a site that got worse."""
    assert row.record is not None
    rows = [other for other in study.arms[row.arm] if other.record and other.status == FINISHED]
    others = measured_alike(study.root, champion, rows)
    if len(others) < LEAST_SEEDS:
        yield unmeasured(study.root, champion, row.record, sorted(others))
        return
    pairs = duel(study, row.arm, found, [other for other in rows if other.seed in others], others)
    seen = examples.read(pairs)
    result = verdict.judge(pairs, seen)
    if result.outcome != SUPPORTED:
        yield f"not shown to beat the champion, {champion.experiment}: {'; '.join(result.reasons)}"
    else:
        yield from hidden(pairs, row.arm, result, seen)


def duel(study: Study, arm: str, found: Verdict, rows: list[Row], others: dict[int, Record]) -> Study:
    """A study of its own: the arm against the champion, by the design's metric, smallest effect and guardrails."""
    asked = study.design.hypothesis or Hypothesis(claim=study.design.title, metric=found.metric or "")
    design = ComparisonDesign.model_construct(
        kind="comparison",
        name=study.design.name,
        type=study.design.type,
        title=study.design.title,
        hypothesis=asked.model_copy(update={"arm": arm, "versus": NAME, "expected": None}),
        seeds=sorted(others),
        comparison=ComparisonConfig.model_construct(values=[arm, NAME], versus=NAME),
    )
    theirs = [Row(NAME, {}, seed, record, reused=True) for seed, record in sorted(others.items())]
    return Study(
        study.root,
        design,
        study.commit,
        study.path,
        study.text,
        [*(replace(row, reused=True) for row in rows), *theirs],
    )


def measured_alike(root: Path, champion: Champion, rows: Iterable[Row]) -> dict[int, Record]:
    """The champion's runs with the seeds of `rows`, by their code and on their data: its own, or run again."""
    known = [record for record in records.read(root) if record.status == FINISHED]
    groups, by_commit = records.by_key(known), {record.commit: record for record in known}
    found = {}
    for row in rows:
        assert row.record is not None
        own = by_commit.get(champion.runs.get(row.seed, ""))
        again = groups.get(run_key({**champion.params(root), "seed": row.seed}), [])
        alike = [r for r in (*again, own) if r and (r.code, r.data) == (row.record.code, row.record.data)]
        if alike and row.record.data is not None:
            found[row.seed] = alike[-1]
    return found


def unmeasured(root: Path, champion: Champion, record: Record, seeds: list[int]) -> str:
    """Why the champion can't be compared with: other data, other code, other seeds, or it is not here."""
    advice = f"Run the champion's design ({champion.design}) again on this commit, with the same seeds"
    if champion.data != record.data:
        return (
            f"a stale baseline: the champion was measured on the data {_short(champion.data)}, these runs on "
            f"{_short(record.data)}. {advice}"
        )
    if record.data is None:
        return (
            f"git knows no version of the data, so that nobody can tell whether both saw the same: dvc add it. {advice}"
        )
    if champion.code != record.code:
        return (
            f"a stale baseline: the champion was made by the code {champion.code}, these runs by "
            f"{record.code}. {advice}"
        )
    absent = [commit for commit in champion.runs.values() if commit not in checkout.repository(root)]
    if absent:
        return (
            f"{len(absent)} of the champion's {len(champion.runs)} runs are not in this clone: "
            "git fetch origin 'refs/exps/*:refs/exps/*'"
        )
    return (
        f"the champion was measured with the seeds {sorted(champion.runs)}: {len(seeds)} of them in common, and "
        f"{LEAST_SEEDS} are the least. {advice}"
    )


def hidden(pairs: Study, arm: str, result: Verdict, seen: examples.Examples) -> Iterator[str]:
    """Classes and sites that got significantly worse, whatever the mean did: paired over seeds, with Holm."""
    estimates = {
        name: statistics.mean(values, resolution=step(pairs, len(parts)))
        for parts in (by_class(pairs, arm), by_site(seen, arm, pairs.design.seeds, result) if result.metric else {})
        for name, values in parts.items()
        if len(values) >= LEAST_SEEDS
    }
    ps = statistics.holm([1.0 if each.p is None else each.p for each in estimates.values()])
    whole = next((str(each.difference) for each in result.comparisons), "")
    for (name, each), p in zip(estimates.items(), ps, strict=True):
        if each.value < 0 and p < ALPHA:
            yield (
                f"a regression hidden by the mean: {name} {each.value:+.3g}{interval(each)}, p = {p:.2g} after "
                f"Holm over {len(ps)}, while {whole}"
            )


def step(pairs: Study, parts: int) -> float:
    """By how much one object, or one image, of one of so many parts of the test data moves that part's metric."""
    finished = [row.record for row in pairs.rows if row.record]
    numbers = [record.value(f"{pairs.design.target}.{of}") for record in finished for of in ("objects", "images")]
    return next((parts / number for number in numbers if number), 0.0)


def by_class(pairs: Study, arm: str) -> dict[str, list[float]]:
    """The differences, seed by seed, of each class's own metric."""
    stage = pairs.design.target
    found: dict[str, list[float]] = {}
    for seed in pairs.design.seeds:
        mine, theirs = (_classes(pairs, name, seed, stage) for name in (arm, NAME))
        for name in mine.keys() & theirs.keys():
            found.setdefault(name, []).append(mine[name] - theirs[name])
    return dict(sorted(found.items()))


def _classes(pairs: Study, arm: str, seed: int, stage: str) -> dict[str, float]:
    row = next((row for row in pairs.arms[arm] if row.seed == seed), None)
    classes = row.record.metrics.get(stage, {}).get("classes", {}) if row and row.record else {}
    return {
        f"{stage}.classes.{name}.{metric}": float(values[metric])
        for name, values in classes.items()
        for metric in OF_A_CLASS
        if math.isfinite(values.get(metric, math.nan))
    }


def by_site(seen: examples.Examples, arm: str, seeds: Iterable[int], result: Verdict) -> dict[str, list[float]]:
    """The differences, seed by seed, of the metric on the images of each site, where there are several."""
    assert result.metric is not None
    found: dict[str, list[float]] = {}
    for seed in seeds:
        frames = [seen.get((name, seed)) for name in (arm, NAME)]
        scorers = [examples.scorer(frame, result.metric) for frame in frames if frame is not None]
        sites = sorted({site for frame in frames if frame is not None for site in frame["site"]})
        if len(sites) < 2 or len(scorers) < 2 or None in scorers:
            continue
        for site in sites:
            scores = [
                float(score((frame["site"] == site).to_numpy(float)[:, None])[0])
                for score, frame in zip(scorers, frames, strict=True)
                if score and frame is not None
            ]
            found.setdefault(f"{result.metric} of site {site}", []).append(_sign(result) * (scores[0] - scores[1]))
    return found


def typical(rows: Iterable[Row], metric: str | None) -> Row | None:
    """The finished run that is nearest to the mean of its arm: what the arm delivers, not its luckiest seed."""
    finished = [row for row in rows if row.status == FINISHED]
    values = measured(finished, metric)
    if not values:
        return next(iter(finished), None)
    middle = mean(values.values())
    # Rounded, so that of two that are as near the first is taken on every machine.
    return min(
        (row for row in finished if row.seed in values), key=lambda row: round(abs(values[row.seed] - middle), 9)
    )


def _sign(found: Verdict) -> int:
    return 1 if found.direction == "maximize" else -1


def _short(data: str | None) -> str:
    return (data or "unknown to git")[:7]
