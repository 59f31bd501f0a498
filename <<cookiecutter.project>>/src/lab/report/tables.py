"""What came out, as a table in the shape of the question: a row an arm, with its mean, its change, and what it costs.

The reference's row has no change. Where the hypothesis is held against an expected value, the change is that to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lab.analysis.estimates import COUNTED, Difference, arm_mean, difference, independent_values, resolution
from lab.design.levels import label
from lab.errors import UserError
from lab.nested_keys import get
from lab.study import Examples, Replicate, measured

if TYPE_CHECKING:
    import pandas as pd

    from lab.analysis.comparisons import Comparison
    from lab.analysis.statistics import EffectSize, Estimate
    from lab.analysis.verdict import Verdict
    from lab.study import Study

DIGITS = 6  # significant ones, of what is written for programs
DURATION = "seconds."  # how long a stage took is no metric of a file's, and shown as one


def table(study: Study, verdict: Verdict) -> pd.DataFrame:
    """The table of a study, in the order of its design.

    Columns: arm, seeds (how many finished), the metric's mean with its 95 % interval (`low`, `high`), the change to the
    reference with its own (`change`, `change_low`, `change_high`, `basis`), `p` after Holm, the standardized change
    over seeds (`d`, `d_low`, `d_high`), `outcome` of the arms that the hypothesis is about; then the means of the other
    metrics that belong to the question, with their intervals (`<metric>_low`, `<metric>_high`), and the levels where
    arms are told by them.
    """
    import pandas as pd

    if verdict.metric is None:
        return pd.DataFrame(columns=["arm", "seeds"])
    others = beside(study, verdict.metric)
    rows = []
    for arm in arms(study, verdict, verdict.metric):
        comparison = compared(verdict, arm["arm"])
        row = arm | {"p": tested(comparison)} | ends("d", comparison and comparison.effect)
        row["outcome"] = comparison.outcome if comparison and comparison.claimed else None
        for name in others:
            row |= ends(name, mean(study, arm["arm"], name))
        rows.append(row | _levels(study, arm["arm"]))
    frame = pd.DataFrame(rows).rename(columns={"mean": verdict.metric})
    return frame.dropna(axis="columns", how="all")


def arms(study: Study, verdict: Verdict, metric: str) -> list[dict[str, Any]]:
    """What was measured of each arm, and its change to the reference: the verdict's own numbers where it has them."""
    rows = []
    for name in study.arms:
        estimate = mean(study, name, metric)
        change = changed(study, verdict, name, metric)
        by = change.estimate if change else None
        rows.append(
            {
                "arm": name,
                "seeds": len(independent_values(study, name, metric)),
                "mean": estimate and estimate.value,
                "low": estimate and estimate.low,
                "high": estimate and estimate.high,
                **ends("change", by),
                "basis": change.basis if change and by else None,
            }
        )
    return rows


def ends(name: str, estimate: Estimate | EffectSize | None) -> dict[str, float | None]:
    """An estimate as columns: `name`, and the ends of its interval."""
    value, low, high = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def changed(study: Study, verdict: Verdict, arm: str, metric: str) -> Difference | None:
    """An arm minus the reference in any metric; None for the reference, and where there is none."""
    comparison = compared(verdict, arm)
    if comparison:
        known = [comparison.difference, *(guard.difference for guard in comparison.guardrails)]
        for change in known:
            if change.metric == metric:
                return change
    if study.reference is None or arm == study.reference:
        return None
    return difference(study, arm, study.reference, metric, Examples())


def compared(verdict: Verdict, arm: str) -> Comparison | None:
    """What the verdict says of an arm; None for the reference."""
    return next((comparison for comparison in verdict.comparisons if comparison.arm == arm), None)


def tested(comparison: Comparison | None) -> float | None:
    """The p value of a comparison, after Holm; None without a test, and for what is counted."""
    return None if comparison is None or comparison.difference.basis == COUNTED else comparison.p


def mean(study: Study, arm: str, metric: str) -> Estimate | None:
    """An arm's mean in any metric, or in `seconds.<stage>`: how long a stage took."""
    is_duration = metric.startswith(DURATION)
    values = by_seed(study.arms[arm], metric) if is_duration else independent_values(study, arm, metric)
    return arm_mean(study, metric, values) if values else None


def half(value: float, low: float | None, high: float | None) -> float | None:
    """Half of an interval's width; None where there is none.

    One that is cut off at an end, such as a share's at 1, has the longer side. Cut off at both, as of a share or of a
    change in one, no side tells it: None.
    """
    if low is None or high is None or low == high or (low, high) in ((0, 1), (-1, 1)):
        return None
    return max(value - low, high - value)


def by_seed(replicates: Sequence[Replicate], metric: str) -> dict[int, float]:
    """A metric, or `seconds.<stage>`, of the finished runs by seed."""
    if not metric.startswith(DURATION):
        return measured(replicates, metric)
    stage = metric.removeprefix(DURATION)
    seconds = {each.seed: each.record.seconds for each in replicates if each.finished}
    return {seed: stages[stage] for seed, stages in seconds.items() if stage in stages}


def floor(study: Study, verdict: Verdict) -> float:
    """By how much a test item moves a metric of the table, where seeds that differ by less were taken so; or 0."""
    assert verdict.metric is not None
    for metric in (verdict.metric, *beside(study, verdict.metric)):
        changes = [comparison.difference for comparison in verdict.comparisons]
        estimates = [mean(study, arm, metric) for arm in study.arms]
        estimates += [change.seeds for change in changes if change.metric == metric]
        least = resolution(study, metric)
        if least and any(estimate and estimate.deviation == least for estimate in estimates):
            return least
    return 0.0


# Which metrics


def beside(study: Study, metric: str) -> list[str]:
    """The metrics that belong to a question beside its main one: guardrails, and what its shape is about."""
    names = dict.fromkeys([*study.metrics[1:], *resolved(study, study.question.beside)])
    return [name for name in names if name != metric and is_measured(study, name)]


def resolved(study: Study, patterns: Iterable[str]) -> list[str]:
    """Names of metrics with {main}, {main_name}, {stage} and {latency} filled in; without those that nothing fills."""
    main = main_metric(study) or ""
    words = {
        "main": main,
        "main_name": main.rpartition(".")[2],
        "stage": study.stage,
        "latency": study.contract.latency(study.stage) or "",
    }
    words = {word: text for word, text in words.items() if text}
    names = []
    for pattern in patterns:
        with suppress(KeyError):
            names.append(pattern.format(**words))
    return names


def main_metric(study: Study) -> str | None:
    """The metric that says how good a model is, also where the design is about another one."""
    names = study.contract.main_metrics(study.stage)
    matters = {name.rpartition(".")[2] for name in names}
    known = (name for name in (*study.metrics, *names) if name.rpartition(".")[2] in matters)
    return next((name for name in known if is_measured(study, name)), None)


def is_measured(study: Study, metric: str) -> bool:
    """Whether a run has it."""
    return any(by_seed(replicates, metric) for replicates in study.arms.values())


# Settings


def _levels(study: Study, arm: str) -> dict[str, Any]:
    """The levels that an arm's name is made of, where there are several."""
    levels = study.arms[arm][0].levels
    return {name: level if _is_plain(level) else label(level) for name, level in levels.items() if len(levels) > 1}


def _is_plain(level: Any) -> bool:
    return isinstance(level, bool | int | float | str)


def param(replicate: Replicate, key: str) -> str:
    """A setting of a run as it is written: `A`, `64`; empty without a run."""
    value = get(replicate.record.params, key) if replicate.record else None
    return "" if value is None else label(value)


def factors(study: Study, number: int) -> list[str]:
    """The first factors that the design varies, in the order in which its question names them. Raises UserError."""
    varied, keys = study.design.factors(), study.question.varies
    if len(varied) < number:
        name, design = study.question.name, study.design.name
        raise UserError(f"lab.yaml: a figure of the question {name} needs {number} factors; {design} has {len(varied)}")
    in_order = sorted(varied, key=lambda factor: next((i for i, key in enumerate(keys) if factor.startswith(key)), 0))
    return in_order[:number]


def as_csv(frame: pd.DataFrame) -> str:
    """A table for programs."""
    return frame.to_csv(index=False, lineterminator="\n", float_format=f"%.{DIGITS}g")
