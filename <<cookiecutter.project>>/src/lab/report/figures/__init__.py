"""What came out, as figures in the shape of the question: PNG for people, and the data that is drawn.

pictures(study, verdict)[0].png
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lab.report.figures.arms import arms
from lab.report.figures.cost import gains, pareto
from lab.report.figures.curves import curves
from lab.report.figures.drawing import Picture, style
from lab.report.figures.effects import effects
from lab.report.figures.matrix import gap, matrix
from lab.report.figures.members import members
from lab.report.figures.outputs import confusion, curve_by_class, pictures_of_run
from lab.report.figures.response import response
from lab.report.figures.samples import samples
from lab.report.figures.sweep import sweep
from lab.report.figures.two_models import two_models

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Figure, Way
    from lab.study import Study

__all__ = ["WAYS", "Picture", "pictures", "pictures_of_run"]

WAYS: dict[Way, Callable[[Figure, Study, Verdict], Iterator[Picture]]] = {
    "arms": arms,
    "curves": curves,
    "confusion": confusion,
    "curve_by_class": curve_by_class,
    "samples": samples,
    "two_models": two_models,
    "matrix": matrix,
    "gap": gap,
    "response": response,
    "pareto": pareto,
    "gains": gains,
    "members": members,
    "sweep": sweep,
    "effects": effects,
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
