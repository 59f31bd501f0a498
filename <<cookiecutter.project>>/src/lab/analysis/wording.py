"""Estimates and differences in words, as verdicts, reports and figures have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis import looks
from lab.analysis.estimates import BOTH, COUNTED, IMAGES
from lab.decimals import counted, decimals, written

if TYPE_CHECKING:
    from lab.analysis.estimates import Difference
    from lab.analysis.statistics import Estimate
    from lab.study import Study

TINY = 1e-4  # what is smaller is written by its power of ten


def interval(estimate: Estimate) -> str:
    """`[+0.003, +0.021]`, or nothing where there is none, or none that can be read."""
    return with_interval(estimate).partition(" ")[2]


def with_interval(estimate: Estimate) -> str:
    """`+0.012 [+0.003, +0.021]`, with the same decimals; the value alone where no interval can be read."""
    ends = [] if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]
    numbers = [estimate.value, *ends]
    places, is_tiny = decimals(numbers, 3), 0 < max(map(abs, numbers)) < TINY
    value, *texts = (f"{number:+.3g}" if is_tiny else written(number, places, "+") for number in numbers)
    return f"{value} [{', '.join(texts)}]" if len(set(texts)) > 1 else value


def sentence(study: Study, between: Difference) -> str:
    """`new − old in evaluate.score: +0.02 [+0.01, +0.03] over 5 seeds`."""
    name = f"{between.arm} − {between.versus or 'expected'} in {between.metric}"
    if between.effect:
        name = f"the effect of {between.arm} on {between.metric}"
    estimate = between.estimate
    if estimate is None and between.effect:
        return f"{name}: not every arm has a finished run yet, or the arms don't tell it"
    if estimate is None:
        finished = {replicate.arm for replicate in study.replicates if replicate.finished}
        both = between.arm in finished and between.versus in (None, *finished)
        return f"{name}: no pair of runs has {'measured it' if both else 'finished'}"
    return f"{name}: {with_interval(estimate)} over {evidence(study, between)}"


def evidence(study: Study, between: Difference) -> str:
    """What a difference rests on: `5 seeds and 300 test images`, `the test images of 30 patients`."""
    over = [counted(len(between.values), "seed")] if between.basis != IMAGES else []
    look = looks.at(study, between.arm, between.versus) if between.versus is not None else None
    if between.basis in (IMAGES, BOTH) and between.images:
        item, n = f"test {study.contract.item}", between.images.n
        over.append(f"the {item}s of {counted(n, between.cluster)}" if between.cluster else counted(n, item))
    return " and ".join(over) + (f" ({look}, sequential interval)" if look and between.basis != COUNTED else "")
