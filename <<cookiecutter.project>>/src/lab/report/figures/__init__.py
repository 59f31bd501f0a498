"""What came out, as figures in the shape of the question: PNG for people, and the data that is drawn.

pictures(study, verdict)[0].png
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lab.report.figures import arms, cost, ensemble, images, single, sites, sweep
from lab.report.figures.drawing import Picture, style
from lab.report.tables import Shape, shape

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.records.study import Study

__all__ = ["DRAWN", "Picture", "pictures"]


def quantization(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The variants beside each other, what they cost and what they gain."""
    yield from arms.comparison(study, verdict)
    yield from cost.quantization(study, verdict)


def multi_scale(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The curve over the image size first."""
    yield from cost.multi_scale(study, verdict)
    yield from arms.comparison(study, verdict)


def cross_site(study: Study, verdict: Verdict) -> Iterator[Picture]:
    """The matrix first."""
    yield from sites.cross_site(study, verdict)
    yield from arms.comparison(study, verdict)


DRAWN: dict[Shape, Callable[[Study, Verdict], Iterator[Picture]]] = {
    Shape.SINGLE: single.single,
    Shape.SWEEP: sweep.sweep,
    Shape.COMPARISON: arms.comparison,
    Shape.ABLATION: arms.ablation,
    Shape.FACTORIAL: arms.ablation,
    Shape.QUANTIZATION: quantization,
    Shape.CROSS_SITE: cross_site,
    Shape.AUGMENTATION: arms.comparison,
    Shape.MULTI_SCALE: multi_scale,
    Shape.ENSEMBLE: ensemble.ensemble,
    Shape.AB: images.two_models,
}


def pictures(study: Study, verdict: Verdict) -> list[Picture]:
    """The figures of a study, the most telling first; none before something was measured."""
    if verdict.best is None:
        return []
    with style():
        return list(DRAWN[shape(study.design)](study, verdict))
