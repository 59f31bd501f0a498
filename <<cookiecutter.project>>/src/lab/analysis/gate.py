"""Whether a run may become the champion: measured by its design's own rule against the champion of now.

Both on the same test images, by the same code and with the same seeds. Each objection is a sentence with its numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from lab.analysis import per_image, statistics, verdict
from lab.analysis.decisions import INVALID, SUPPORTED
from lab.analysis.estimates import difference, interval, measured, resolution
from lab.design.models import ComparisonConfig, ComparisonDesign, Hypothesis
from lab.design.plan import run_key
from lab.design.power import ALPHA
from lab.records import commit, planning
from lab.records import record as records
from lab.records.record import FINISHED, Record
from lab.records.study import Row, Study, merit, minimized

if TYPE_CHECKING:
    from lab.analysis.statistics import Estimate
    from lab.analysis.verdict import Verdict
    from lab.review.champion import Champion

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
    git = commit.repository(study.root)
    if head and head != study.commit and not git.descendant_of(head, study.commit):
        missing, more = git.ahead_behind(study.commit, head)
        yield (
            f"a stale baseline: the runs started from {study.commit[:7]}, not in HEAD's history: it has {missing} "
            f"commits that HEAD lacks, and HEAD has {more} others. Run the design again on this branch"
        )


def lucky(study: Study, found: Verdict, row: Row) -> Iterator[str]:
    """A run that does not stand for its arm: better than its other seeds by more than chance, as far as they can tell."""
    metric = found.metric
    values = measured(study.arms[row.arm], metric)
    own = values.pop(row.seed, None)
    if metric is None or own is None:
        return
    others = list(values.values())
    if not others:
        yield f"a lucky seed can't be told: {row.arm} has one seed, {row.seed}, with {own:.4g} in {metric}"
        return
    sign = merit(study.design, metric)
    if sign * (own - mean(others)) <= 0:
        return
    told = f"{row.arm} with seed {row.seed} has {own:.4g} in {metric}"
    if len(others) == 1:
        (seed, other) = next(iter(values.items()))
        yield f"a lucky seed can't be told of two: {told}, with seed {seed} {other:.4g}. Promote that run, or add a seed"
        return
    p = statistics.outlier(sign * own, [sign * value for value in others], resolution(study, metric))
    if p < ALPHA:
        nearest = max(others) if sign > 0 else min(others)
        yield (
            f"a lucky seed: {told}, where its other {len(others)} have {mean(others):.4g} on the mean and {nearest:.4g} "
            f"at best (Grubbs' test, p = {p:.2g})"
        )


def against(study: Study, found: Verdict, row: Row, champion: Champion) -> Iterator[str]:
    """What speaks for the champion: the design's rule, its guardrails, or a class or a site that got worse."""
    assert row.record is not None
    if run_key({**champion.params(study.root), "seed": row.seed}) == row.record.key:
        yield f"{row.record.name} has the champion's own settings, with another seed: neither can beat the other"
        return
    rows = [other for other in study.arms[row.arm] if other.record and other.status == FINISHED]
    others = measured_alike(study.root, champion, rows, study.design.target)
    if len(others) < LEAST_SEEDS:
        yield unmeasured(study, champion, row.record, sorted(others))
        return
    pairs = duel(study, row.arm, found, [other for other in rows if other.seed in others], others)
    seen = per_image.read(pairs)
    result = verdict.judge(pairs, seen)
    if result.outcome != SUPPORTED:
        yield f"not shown to beat the champion, {champion.experiment}: {'; '.join(result.reasons)}"
    else:
        yield from hidden(pairs, row.arm, result, seen)


def duel(study: Study, arm: str, found: Verdict, rows: list[Row], others: dict[int, Record]) -> Study:
    """A study of its own: the arm against the champion, by the design's metric, smallest effect and guardrails."""
    direction = "minimize" if minimized(study.design, found.metric or "") else "maximize"
    asked = study.design.hypothesis or Hypothesis(claim=study.design.title, metric=found.metric or "")
    design = ComparisonDesign.model_construct(
        kind="comparison",
        name=study.design.name,
        type=study.design.type,
        title=study.design.title,
        hypothesis=asked.model_copy(update={"arm": arm, "versus": NAME, "expected": None, "direction": direction}),
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


def measured_alike(root: Path, champion: Champion, rows: Iterable[Row], target: str) -> dict[int, Record]:
    """The champion's runs with the seeds of `rows`, by their code and on their images, up to the stage `target`.

    They are its own, or its settings run again.
    """
    known = [record for record in records.read(root) if record.status == FINISHED]
    groups, by_commit = records.by_key(known), {record.commit: record for record in known}
    found = {}
    for row in rows:
        assert row.record is not None
        own = by_commit.get(champion.runs.get(row.seed, ""))
        again = groups.get(run_key({**champion.params(root), "seed": row.seed}), [])
        alike = [r for r in (*again, own) if r and comparable(r) == comparable(row.record) and r.reaches(target)]
        if alike and row.record.data is not None:
            found[row.seed] = alike[-1]
    return found


def comparable(record: Record) -> tuple[Any, ...]:
    """What two runs need to have in common: the code, the data, and which of it are test images."""
    return record.code, record.data, test_images(record)


def test_images(record: Record) -> tuple[Any, Any]:
    """Which images a run was measured on: the site, and how the data is split."""
    params = record.params
    return (params.get("infer") or {}).get("site"), (params.get("data") or {}).get("source")


def unmeasured(study: Study, champion: Champion, record: Record, seeds: list[int]) -> str:
    """Why the champion can't be compared with: other data, code, test images or seeds, too early an end; or it is not here."""
    root, target = study.root, study.design.target
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
    own = {each.commit: each for each in records.read(root) if each.commit in champion.runs.values()}
    absent = len(champion.runs) - len(own)
    if absent:
        return (
            f"{absent} of the champion's {len(champion.runs)} runs are not in this clone: "
            "git fetch origin 'refs/exps/*:refs/exps/*'"
        )
    (site, _), (tested, _) = test_images(record), test_images(next(iter(own.values())))
    if any(test_images(each) != test_images(record) for each in own.values()):
        return (
            f"measured on other test images: these runs on those of site {site}, the champion on those of site {tested}"
            + (", split in another way" if site == tested else "")
        )
    if not all(each.reaches(target) for each in own.values()):
        return (
            f"the champion's runs ended before the stage {target}, which {study.design.name} is about: a design of type "
            f"{study.design.type} with the settings of its arm {champion.arm} ({champion.design}) measures it"
        )
    return (
        f"the champion was measured with the seeds {sorted(champion.runs)}: {len(seeds)} of them in common, and "
        f"{LEAST_SEEDS} are the least. {advice}"
    )


def hidden(pairs: Study, arm: str, result: Verdict, seen: per_image.Examples) -> Iterator[str]:
    """Classes and sites that got significantly worse, whatever the mean did, with Holm.

    Paired over test images, since it is about these models; over seeds where nobody knows what was said of the images.
    """
    estimates = dict([*by_class(pairs, arm, seen), *by_site(pairs, arm, result, seen)])
    ps = statistics.holm([1.0 if each.p is None else each.p for each in estimates.values()])
    whole = next((str(each.difference) for each in result.comparisons), "")
    for (name, each), p in zip(estimates.items(), ps, strict=True):
        if each.value < 0 and p < ALPHA:
            yield (
                f"a regression hidden by the mean: {name} {each.value:+.3g}{interval(each)}, p = {p:.2g} after "
                f"Holm over {len(ps)}, while {whole}"
            )


def by_class(pairs: Study, arm: str, seen: per_image.Examples) -> Iterator[tuple[str, Estimate]]:
    """The difference in each class's own metric."""
    stage = pairs.design.target
    classes = {name: None for record in pairs.finished for name in record.metrics.get(stage, {}).get("classes", {})}
    for metric in (f"{stage}.classes.{name}.{of}" for name in sorted(classes) for of in OF_A_CLASS):
        found = difference(pairs, arm, NAME, metric, seen)
        if found.images:
            yield metric, found.images
        elif len(found.values) >= LEAST_SEEDS:
            yield metric, statistics.mean([*found.values.values()], resolution=len(classes) * resolution(pairs, metric))


def by_site(pairs: Study, arm: str, result: Verdict, seen: per_image.Examples) -> Iterator[tuple[str, Estimate]]:
    """The difference in the metric on the images of each site, where there are several."""
    mine, theirs = ([seen[key] for key in seen if key[0] == name] for name in (arm, NAME))
    sites = sorted({site for frame in (*mine, *theirs) for site in frame["site"]})
    for site in sites if len(sites) > 1 and result.metric else []:
        ours, others = ([frame.loc[frame["site"] == site, :] for frame in frames] for frames in (mine, theirs))
        scored = per_image.difference(ours, others, str(result.metric))
        if scored:
            yield f"{result.metric} of site {site}", statistics.bootstrap(*scored)


def typical(study: Study, arm: str | None, metric: str | None) -> Row | None:
    """The finished run of an arm that is nearest to its mean: what the arm delivers, not its luckiest seed."""
    finished = [row for row in study.arms.get(arm or "", []) if row.status == FINISHED]
    values = measured(finished, metric)
    if metric is None or not values:
        return next(iter(finished), None)
    middle, sign = mean(values.values()), merit(study.design, metric)
    # Of two that are as near the worse; rounded, so that it is the same on every machine.
    return min(
        (row for row in finished if row.seed in values),
        key=lambda row: (round(abs(values[row.seed] - middle), 9), sign * values[row.seed]),
    )


def _short(data: str | None) -> str:
    return (data or "unknown to git")[:7]
