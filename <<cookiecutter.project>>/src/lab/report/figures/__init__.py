"""What came out, as figures in the shape of the question: PNG for people, and the data that is drawn.

pictures(study, verdict)[0].png
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lab.contract.reports import Figure
from lab.report.figures import (
    arms,
    breakdown,
    cost,
    curves,
    effects,
    interaction,
    matrix,
    members,
    outputs,
    ranking,
    reliability,
    response,
    samples,
    sweep,
    two_models,
)
from lab.report.figures.drawing import Picture, style, titled
from lab.report.figures.outputs import pictures_of_run

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract.reports import Way
    from lab.study import Study

__all__ = ["WAYS", "Picture", "pictures", "pictures_of_run"]

MANY = 6  # arms from which on their ranks are shown
WAYS: dict[Way, Callable[[Figure, Study, Verdict], Iterator[Picture]]] = {
    "arms": arms.arms,
    "curves": curves.curves,
    "confusion": outputs.confusion,
    "curve_by_class": outputs.curve_by_class,
    "reliability": reliability.reliability,
    "breakdown": breakdown.breakdown,
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
    "interaction": interaction.interaction,
    "ranking": ranking.ranking,
    "changes": two_models.most_changed,
}


def pictures(study: Study, verdict: Verdict) -> list[Picture]:
    """The figures of a study, the most telling first; none before something was measured."""
    if verdict.best is None:
        return []
    with style():
        drawn = [picture for entry in entries(study) for picture in WAYS[entry.draw](entry, study, verdict)]
        for picture in drawn:
            if picture.figure is not None:
                titled(picture.figure)
    return drawn


def entries(study: Study) -> list[Figure]:
    """The figures that answer the question, those of many arms, and those of the models: of runs with such settings.

    What the question shows itself is not shown again.
    """
    configs = [record.params for record in study.finished]
    asked = study.question.figures
    more = [*of_many(study), *(entry for entry in study.contract.model_figures if tells_apart(entry, study))]
    shown = {entry.draw for entry in asked} - {"breakdown"}  # which may be of other parts
    shown |= {"changes"} if "two_models" in shown else set()
    chosen = [*asked, *(entry for entry in more if entry.draw not in shown)]
    return [entry for entry in chosen if any(study.contract.fits(entry.when, config) for config in configs)]


def of_many(study: Study) -> Iterator[Figure]:
    """What helps to read many arms."""
    if interaction.crossed(study):
        asked = {entry.draw for entry in study.question.figures}
        if not asked & {"matrix", "sweep", "effects"}:
            yield Figure(draw="matrix")
        if "effects" not in asked:
            yield Figure(draw="interaction")
    if len(study.arms) > MANY and len(study.seeds) > 1:
        yield Figure(draw="ranking")


def tells_apart(entry: Figure, study: Study) -> bool:
    """Whether a figure of models says something of this design: not of trainings that all its arms share."""
    if len(study.arms) == 1:
        return entry.draw != "changes"
    return entry.draw != "curves" or study.contract.is_recipe(study.design.type)
