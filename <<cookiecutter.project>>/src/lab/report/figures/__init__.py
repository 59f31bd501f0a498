"""What came out, as figures in the shape of the question: PNG for people, and the data that is drawn.

pictures(study, verdict)[0].png
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lab.report.figures import (
    arms,
    cost,
    curves,
    effects,
    matrix,
    members,
    outputs,
    response,
    samples,
    sweep,
    two_models,
)
from lab.report.figures.drawing import Picture, style
from lab.report.figures.outputs import pictures_of_run

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure, Way
    from lab.study import Study

__all__ = ["WAYS", "Picture", "pictures", "pictures_of_run"]

WAYS: dict[Way, Callable[[Figure, Study, Verdict], Iterator[Picture]]] = {
    "arms": arms.arms,
    "curves": curves.curves,
    "confusion": outputs.confusion,
    "curve_by_class": outputs.curve_by_class,
    "samples": samples.samples,
    "two_models": two_models.two_models,
    "matrix": matrix.matrix,
    "gap": matrix.gap,
    "response": response.response,
    "pareto": cost.pareto,
    "gains": cost.gains,
    "members": members.members,
    "sweep": sweep.sweep,
    "effects": effects.effects,
}


def pictures(study: Study, verdict: Verdict) -> list[Picture]:
    """The figures of a study, the most telling first; none before something was measured."""
    if verdict.best is None:
        return []
    with style():
        return [picture for entry in entries(study) for picture in WAYS[entry.draw](entry, study, verdict)]


def entries(study: Study) -> list[Figure]:
    """The contract's figures that answer the question, of runs with such settings."""
    configs = [record.params for record in study.finished]
    fits = study.contract.fits
    return [entry for entry in study.question.figures if any(fits(entry.when, config) for config in configs)]
