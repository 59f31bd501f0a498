"""A search: a sweep that chooses on one part of the data and answers on another.

Whatever is chosen by a number looks better by that number than it is. So where lab.yaml names a `twin` of the
hypothesis' metric, which measures the same on data that were put aside for choosing, the runs of a sweep end at the
stage that measures it; and once all of them are over, those arms that did best, and those that the hypothesis names,
go on to the stage that answers. What was decided so far follows from the records alone, as in a bayesian sweep.

With `halving` most arms don't come that far: all are trained for a part of their epochs, the best of them for a larger
part, and so on (successive halving: Jamieson and Talwalkar, AISTATS 2016). A rung is a run of its own, with its record,
which ends early and leaves the learning rate's course as it is; the next rung goes on from where it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lab.design.bayesian import replay
from lab.design.expansion import Levels, arms, is_bayesian
from lab.design.models import Design, SweepDesign

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.sources import Remember


TEST = "test"  # a split, as lab.yaml has it
EARLIEST = 4  # of so many parts of a training, the first is left to each: sooner, curves don't tell yet who wins
LEAST = 2  # epochs, for the same reason


class Choices(NamedTuple):
    """What was decided so far by what came out.

    Attributes:
        trials: the combinations of a bayesian sweep.
        finalists: of a search that is over, the arms that go on to the stage that answers.
        stopped: by arm the epochs after which it is stopped, if it is.
        asked: by arm the number of its seeds, where they are added as far as it takes.
    """

    trials: Sequence[Levels] = ()
    finalists: Sequence[str] | None = None
    stopped: Mapping[str, int] | None = None
    asked: Mapping[str, int] | None = None


Results = Callable[[Choices], "list[float | None] | None"]
"""What came out of each combination; None while a run of one is open."""


def metrics(design: Design, contract: Contract, task: str = "") -> list[str]:
    """The metrics that a search goes by, of which the first that was measured counts; empty where it is none.

    With a `task`, of a design that states no metric, those that are measured of it.

    Models that exist already are no recipes that could be measured earlier: a sweep about them is none. Nor is one that
    adds seeds until each arm is told from its reference, or that asks for effects: it compares them all.
    """
    compares_all = design.growth or design.crossed()
    if not isinstance(design, SweepDesign) or not contract.is_recipe(design.type) or compares_all:
        return []
    main = contract.main_metrics(contract.types[design.type])
    of_task = [name for name in main if not task or task in (contract.metric(name).tasks or [task])]
    names = [design.hypothesis.metric] if design.hypothesis else of_task
    return list(dict.fromkeys(twin for name in names if (twin := contract.metric(name).twin)))


def chosen_on_test(design: Design, contract: Contract, metric: str) -> str:
    """Why a sweep chooses its best arm by `metric`, on the test split; empty where it does not.

    Also where its claim is about something else than the best: whoever takes that has chosen it there.
    """
    is_sweep = isinstance(design, SweepDesign) and design.claimed_arm is None
    if not is_sweep or contract.metric(metric).split != TEST or metrics(design, contract):
        return ""
    if not contract.is_recipe(design.type):
        return f"models that exist (type: {design.type}) have no earlier measure: ask about a few, by a comparison"
    if design.growth:
        return "seeds are added until each arm is told from its reference there: choose before, with a list of seeds"
    if design.crossed():
        return "effects are of all its arms: what is claimed of one holds, the best combination is to be run again"
    return "its twin in lab.yaml would be what measures the same on data that were put aside for choosing"


def decided(
    design: Design,
    contract: Contract,
    results: Results,
    remember: Remember = lambda key, work_out: work_out(),
    epochs: Callable[[], int] = lambda: 1,
) -> Choices:
    """What follows from the results so far; `epochs` says how long a run trains that is not stopped."""
    trials: Sequence[Levels] = ()
    if is_bayesian(design):
        trials = replay(design, contract, lambda tried: results(Choices(tried)), remember)
    if not metrics(design, contract):
        return Choices(trials)
    assert isinstance(design, SweepDesign)
    names = [arm.name for arm in arms(design, trials)]
    left, stopped = names, dict[str, int]()
    for rung, kept in [*(rungs(design, len(names), epochs()) if design.sweep.halving else []), (0, 0)]:
        stopped |= dict.fromkeys(left, rung) if rung else {}
        values = results(Choices(trials, None, stopped))
        if values is None:
            return Choices(trials, None, stopped)
        measured = [value if name in left else None for name, value in zip(names, values, strict=True)]
        left = best(design, contract, names, measured, kept or design.sweep.finalists)
        stopped = {name: after for name, after in stopped.items() if name not in left} if rung else stopped
    return Choices(trials, left, stopped)


def rungs(design: SweepDesign, arms: int, epochs: int) -> list[tuple[int, int]]:
    """After how many epochs arms are stopped, and how many are left then: the last rung is the whole training."""
    factor, least = design.sweep.halving or 2, design.sweep.finalists
    count = 0
    while factor ** (count + 1) <= min(arms / least, epochs // LEAST, EARLIEST):
        count += 1
    return [(epochs // factor ** (count - i), max(least, arms // factor ** (i + 1))) for i in range(count)]


def best(
    design: Design, contract: Contract, names: Sequence[str], values: Sequence[float | None], count: int
) -> list[str]:
    """The arms that go on, in their order: the best, and those that the hypothesis names. None of them has failed."""
    sign = -1 if is_minimized(design, contract) else 1
    measured = {name: sign * value for name, value in zip(names, values, strict=True) if value is not None}
    first = sorted(measured, key=lambda name: -measured[name])[:count]
    return [name for name in measured if name in (*first, design.claimed_arm, design.reference)]


def is_minimized(design: Design, contract: Contract) -> bool:
    """Whether less of what is searched by is better: as lab.yaml says or, where it doesn't, the hypothesis."""
    known = [contract.metric(name).direction for name in metrics(design, contract)]
    stated = design.hypothesis.direction if design.hypothesis else None
    return next((direction for direction in (*known, stated) if direction), "maximize") == "minimize"
