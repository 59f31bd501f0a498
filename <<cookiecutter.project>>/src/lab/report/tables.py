"""What came out, as a table in the shape of the question: a row an arm, with its mean, its change, and what it costs.

The reference's row has no change. Where the hypothesis is held against an expected value, the change is that to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pygit2

from lab.analysis.estimates import COUNTED, Difference, arm_mean, difference, measured, replicates, resolution
from lab.design.levels import label
from lab.design.models import AblationDesign, ComparisonDesign, Design, SingleDesign, SweepDesign
from lab.records import commit as checkout
from lab.records.record import FINISHED
from lab.records.study import MAIN_METRICS

if TYPE_CHECKING:
    import pandas as pd

    from lab.analysis.comparisons import Comparison
    from lab.analysis.statistics import EffectSize, Estimate
    from lab.analysis.verdict import Verdict
    from lab.records.study import Row, Study

LATENCY = {"quant": "quant_speed.latency_ms.p50"}  # by stage; of infer it is the one of single images
SITES = ("data.site", "infer.site")
UNITS = {
    "size_mb": "size, MB",
    "torch_size_mb": "size of the PyTorch weights, MB",
    "speedup": "speed-up over PyTorch",
    "f1": "F1",
    "f1_macro": "macro-F1",
    "val_f1_macro": "macro-F1 on the validation split",
    "mAP50_95": "mAP50-95",
    "best_epoch": "best epoch",
    "throughput": "throughput, images/s",
}
TIMES = {"p50": "median latency, ms", "p90": "90 % latency, ms", "p99": "99 % latency, ms"}


class Shape(StrEnum):
    """The question that a design asks, by its kind and by what it varies."""

    SINGLE = "single"
    SWEEP = "sweep"
    COMPARISON = "comparison"
    ABLATION = "ablation"
    FACTORIAL = "factorial"
    QUANTIZATION = "quantization"
    CROSS_SITE = "cross-site"
    AUGMENTATION = "augmentation"
    MULTI_SCALE = "multi-scale"
    ENSEMBLE = "ensemble"
    AB = "A/B"


def shape(design: Design) -> Shape:
    """The shape of a design's answer."""
    if isinstance(design, SingleDesign):
        return Shape.SINGLE
    if isinstance(design, SweepDesign):
        return Shape.SWEEP
    if isinstance(design, AblationDesign):
        return Shape.FACTORIAL if design.ablation.method == "factorial" else Shape.ABLATION
    return _comparison(design)


def _comparison(design: ComparisonDesign) -> Shape:
    factors = design.factors()
    if set(factors) == set(SITES):
        return Shape.CROSS_SITE
    if len(factors) > 1:
        return Shape.COMPARISON
    factor = factors[0]
    if factor == "infer.model" and design.type == "infer" and design.size() == 2:
        return Shape.AB
    known = {
        "quant": Shape.QUANTIZATION,
        "augmentation": Shape.AUGMENTATION,
        "data.image_size": Shape.MULTI_SCALE,
        "infer.voting": Shape.ENSEMBLE,
        "infer.members": Shape.ENSEMBLE,
    }
    return known.get(factor, known.get(factor.partition(".")[0], Shape.COMPARISON))


def table(study: Study, verdict: Verdict) -> pd.DataFrame:
    """The table of a study, in the order of its design.

    Columns: arm, seeds (how many finished), the metric's mean with its 95 % interval (`low`, `high`), the change against
    the reference with its own (`change`, `change_low`, `change_high`, `basis`), `p` after Holm, the standardized change
    over seeds (`d`, `d_low`, `d_high`), `outcome`; then the means of the other metrics that belong to the question, each
    with its interval (`<metric>_low`, `<metric>_high`), and the levels where arms are told by them.
    """
    import pandas as pd

    if verdict.metric is None:
        return pd.DataFrame(columns=["arm", "seeds"])
    rows = []
    for arm in arms(study, verdict, verdict.metric):
        comparison = compared(verdict, arm["arm"])
        row = arm | {"p": tested(comparison)} | ends("d", comparison and comparison.effect)
        row["outcome"] = comparison and comparison.outcome
        for name in beside(study, verdict.metric):
            row |= ends(name, mean(study, arm["arm"], name))
        rows.append(row | _levels(study, arm["arm"]))
    frame = pd.DataFrame(rows).rename(columns={"mean": verdict.metric})
    return frame.dropna(axis="columns", how="all")


def arms(study: Study, verdict: Verdict, metric: str) -> list[dict[str, Any]]:
    """What was measured of each arm, and how it differs from the reference: the verdict's own numbers where it has them."""
    found = []
    for name in study.arms:
        estimate = mean(study, name, metric)
        change = changed(study, verdict, name, metric)
        by = change.estimate if change else None
        found.append(
            {
                "arm": name,
                "seeds": len(replicates(study, name, metric)),
                "mean": estimate and estimate.value,
                "low": estimate and estimate.low,
                "high": estimate and estimate.high,
                **ends("change", by),
                "basis": change.basis if change and by else None,
            }
        )
    return found


def ends(name: str, estimate: Estimate | EffectSize | None) -> dict[str, float | None]:
    """An estimate as columns: `name`, and the ends of its interval."""
    value, low, high = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def changed(study: Study, verdict: Verdict, arm: str, metric: str) -> Difference | None:
    """An arm minus the reference in any metric; None for the reference, and where there is none."""
    comparison = compared(verdict, arm)
    if comparison:
        known = [comparison.difference, *(guard.difference for guard in comparison.guardrails)]
        for each in known:
            if each.metric == metric:
                return each
    if study.reference is None or arm == study.reference:
        return None
    return difference(study, arm, study.reference, metric, {})


def compared(verdict: Verdict, arm: str) -> Comparison | None:
    """What the verdict says of an arm; None for the reference."""
    return next((each for each in verdict.comparisons if each.arm == arm), None)


def tested(comparison: Comparison | None) -> float | None:
    """The p value of a comparison, after Holm; None without a test, and for what is counted."""
    return None if comparison is None or comparison.difference.basis == COUNTED else comparison.p


def mean(study: Study, arm: str, metric: str) -> Estimate | None:
    """An arm's mean in any metric, or in `seconds.<stage>`: how long a stage took."""
    timed = metric.startswith("seconds.")
    values = by_seed(study.arms[arm], metric) if timed else replicates(study, arm, metric)
    return arm_mean(study, metric, values) if values else None


def half(value: float, low: float | None, high: float | None) -> float | None:
    """Half of an interval's width; None where there is none.

    One that is cut off at an end, such as a share's at 1, has the longer side. Cut off at both, no side tells it: None.
    """
    if low is None or high is None or low == high or (low, high) == (0, 1):
        return None
    return max(value - low, high - value)


def by_seed(rows: Iterable[Row], metric: str) -> dict[int, float]:
    """A metric, or `seconds.<stage>`, of the finished runs by seed."""
    stem, _, stage = metric.partition(".")
    if stem != "seconds":
        return measured(rows, metric)
    finished = [(row.seed, row.record.seconds) for row in rows if row.record and row.status == FINISHED]
    return {seed: seconds[stage] for seed, seconds in finished if stage in seconds}


def floor(study: Study, verdict: Verdict) -> float:
    """By how much a test image moves the metrics of the table, where seeds that differ by less were taken to differ so; or 0."""
    assert verdict.metric is not None
    for metric in (verdict.metric, *beside(study, verdict.metric)):
        found = [mean(study, arm, metric) for arm in study.arms]
        found += [each.difference.seeds for each in verdict.comparisons if each.difference.metric == metric]
        least = resolution(study, metric)
        if least and any(each and each.deviation == least for each in found):
            return least
    return 0.0


def beside(study: Study, metric: str) -> list[str]:
    """The metrics that belong to a question beside its main one: guardrails, and what the shape is about."""
    target, speed = study.design.target, latency(study.design)
    extra = {
        Shape.SINGLE: [f"{target}.accuracy", f"{target}.mAP50_95", "train.best_epoch", "seconds.train"],
        Shape.QUANTIZATION: [accuracy(study), drop(study), "quant.size_mb", speed, "quant_speed.speedup"],
        Shape.MULTI_SCALE: ["seconds.train", speed],
        Shape.COMPARISON: ["seconds.train", speed] if study.design.type == "train" else [speed],
        Shape.ENSEMBLE: [speed],
        Shape.AB: [speed],
    }
    names = dict.fromkeys([*study.metrics[1:], *extra.get(shape(study.design), [])])
    there = [name for name in names if name and name != metric]
    return [name for name in there if any(by_seed(rows, name) for rows in study.arms.values())]


def latency(design: Design) -> str:
    """The metric of the median latency of one image."""
    return LATENCY.get(design.target, "infer_speed.batch_1.latency_ms.p50")


def accuracy(study: Study) -> str | None:
    """The metric that says how good a model is, also where the design is about another one."""
    names = [*study.metrics, *(f"{study.design.target}.{name}" for name in MAIN_METRICS)]
    return next((n for n in names if n.rpartition(".")[2] in MAIN_METRICS and _is_measured(study, n)), None)


def drop(study: Study) -> str | None:
    """The metric that says how much a quantized model lost against PyTorch."""
    name = (accuracy(study) or "").rpartition(".")[2]
    return f"quant.drop.{name}" if name else None


def _is_measured(study: Study, metric: str) -> bool:
    return any(measured(rows, metric) for rows in study.arms.values())


def _levels(study: Study, arm: str) -> dict[str, Any]:
    """The levels that an arm's name is made of, where there are several."""
    levels = study.arms[arm][0].levels
    return {name: level if _is_plain(level) else label(level) for name, level in levels.items() if len(levels) > 1}


def _is_plain(level: Any) -> bool:
    return isinstance(level, bool | int | float | str)


def members(study: Study, metric: str) -> pd.DataFrame:
    """What each member of an ensemble does alone, by the run that trained it: arm, seed, member, commit, value.

    A member is called by its own design and arm. Left out are those whose own evaluation was on other data, another site or
    in another metric, and those that no commit here stands for.
    """
    import pandas as pd

    found = []
    for row in study.rows:
        record = row.record
        if record is None or row.status != FINISHED:
            continue
        for commit in _get(record.params, "infer.members") or []:
            told = _alone(record, str(commit), metric)
            if told:
                found.append({"arm": row.arm, "seed": row.seed, "member": told[0], "commit": commit, "value": told[1]})
    return pd.DataFrame(found, columns=["arm", "seed", "member", "commit", "value"])


def _alone(record: Any, name: str, metric: str) -> tuple[str, float] | None:
    """The name and the metric of a member's own run, where it was measured as the ensemble is."""
    try:
        commit = checkout.commit(record.root, name)
    except (KeyError, ValueError, pygit2.GitError):
        return None
    block = commit.params.get("experiment") or {}
    alike = _get(commit.params, "infer.site") == _get(record.params, "infer.site")
    data = [outputs.get("data/prepared", {}).get("md5") for outputs in (commit.outputs, record.outputs)]
    value = _get(commit.metrics, metric)
    if not alike or data[0] != data[1] or not isinstance(value, int | float):
        return None
    return (f"{block['design']}:{block['arm']}" if block else name[:7]), float(value)


def _get(content: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None where it is absent."""
    value: Any = content
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def param(row: Row, key: str) -> str:
    """A setting of a run as it is written: `A`, `64`; empty without a run."""
    value = _get(row.record.params, key) if row.record else None
    return "" if value is None else label(value)


def title(metric: str) -> str:
    """What a metric is called on an axis, with its unit: `median latency, ms` for `infer_speed.batch_1.latency_ms.p50`."""
    parts = metric.split(".")
    last = parts[-1]
    if parts[0] == "seconds":
        return {"train": "training time, s"}.get(last, f"time of the stage {last}, s")
    if "latency_ms" in parts:
        batch = next((f" of {part.removeprefix('batch_')} images" for part in parts if part.startswith("batch_")), "")
        return TIMES.get(last, f"{last} of latency, ms") + batch.replace(" of 1 images", "")
    name = UNITS.get(last, last)
    if "drop" in parts[:-1]:
        return f"loss of {name}"
    if "classes" in parts[:-1]:
        return f"{name} of class {'.'.join(parts[parts.index('classes') + 1 : -1])}"
    return f"{name} of PyTorch" if "torch" in parts[:-1] else name
