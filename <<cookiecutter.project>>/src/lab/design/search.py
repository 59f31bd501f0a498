"""A search: a sweep that chooses on one part of the data and answers on another.

Whatever is chosen by a number looks better by that number than it is. So where lab.yaml names a `twin` of the
hypothesis' metric, which measures the same on data that were put aside for choosing, the runs of a sweep end at the
stage that measures it; and once all of them are over, those arms that did best, and those that the hypothesis names,
go on to the stage that answers. What was decided so far follows from the records alone, as in a bayesian sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lab.design.bayesian import Remember, replay
from lab.design.expansion import Levels, arms, is_bayesian
from lab.design.models import Design, SweepDesign

if TYPE_CHECKING:
    from lab.contract import Contract

Results = Callable[[list[Levels]], "list[float | None] | None"]
"""What came out of each combination so far, by the metric that is searched by; None while a run of one is open."""


def metrics(design: Design, contract: Contract) -> list[str]:
    """The metrics that a search goes by, of which the first that was measured counts; empty where it is none.

    Models that exist already are no recipes that could be measured earlier: a sweep about them is none.
    """
    if not isinstance(design, SweepDesign) or not contract.is_recipe(design.type):
        return []
    main = contract.main_metrics(contract.types[design.type])
    names = [design.hypothesis.metric] if design.hypothesis else main
    return list(dict.fromkeys(twin for name in names if (twin := contract.metric(name).twin)))


def decided(
    design: Design,
    contract: Contract,
    results: Results,
    remember: Remember = lambda key, work_out: work_out(),
) -> tuple[list[Levels], list[str] | None]:
    """What follows from the results so far: the combinations of a bayesian sweep, and the arms that go on.

    None for these where the design is no search, or while it is open.
    """
    trials = replay(design, contract, results, remember) if is_bayesian(design) else []
    if not metrics(design, contract) or (values := results(trials)) is None:
        return trials, None
    return trials, finalists(design, contract, [arm.name for arm in arms(design, trials)], values)


def finalists(design: Design, contract: Contract, names: Sequence[str], values: Sequence[float | None]) -> list[str]:
    """The arms that go on, in their order: the best, and those that the hypothesis names. None of them has failed."""
    assert isinstance(design, SweepDesign)
    sign = -1 if is_minimized(design, contract) else 1
    measured = {name: sign * value for name, value in zip(names, values, strict=True) if value is not None}
    best = sorted(measured, key=lambda name: -measured[name])[: design.sweep.finalists]
    return [name for name in measured if name in (*best, design.claimed_arm, design.reference)]


def is_minimized(design: Design, contract: Contract) -> bool:
    """Whether less of what is searched by is better: as lab.yaml says or, where it doesn't, the hypothesis."""
    known = [contract.metric(name).direction for name in metrics(design, contract)]
    stated = design.hypothesis.direction if design.hypothesis else None
    return next((direction for direction in (*known, stated) if direction), "maximize") == "minimize"
