"""A bayesian sweep: Optuna chooses the next combinations by what came out of those before.

There is no database: with its seed, Optuna asks the same questions again when it is given the same answers, and these
are in the records. So after an interruption the study is replayed from its beginning, in memory, up to the first that
is open.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.design.blocks import Range
from lab.design.expansion import Levels, wanted
from lab.design.levels import Level, identity
from lab.design.models import SweepDesign
from lab.errors import UserError

if TYPE_CHECKING:
    import optuna

    from lab.contract import Contract
    from lab.contract.metrics import Direction
    from lab.design.sources import Remember

OPTUNAS = 10  # combinations that its TPE draws at random, before it chooses any
MOST_REPEATS = 100  # combinations in a row that were there before or that constraints forbid, before the search ends


class Search:
    """The study of a design. `trials` are the combinations chosen so far, the open ones of the last `ask` included."""

    def __init__(self, design: SweepDesign, contract: Contract):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.design = design
        self.trials: list[Levels] = []
        self._open: list[optuna.trial.Trial] = []
        self._told = 0  # batches
        self._values: dict[tuple[str, ...], float | None] = {}
        sampler = _sampler(design, drawn(design, contract))
        self._study = optuna.create_study(direction=_direction(design, contract), sampler=sampler)

    def ask(self) -> list[Levels]:
        """The next combinations, at most `parallel`; none when max_runs are reached or there are no more."""
        sweep = self.design.sweep
        wanted_count = min(sweep.parallel, (sweep.max_runs or 0) - len(self.trials))
        space = {name: _distribution(levels) for name, levels in sweep.parameters.items()}
        batch: list[Levels] = []
        repeats = 0
        while len(batch) < wanted_count and repeats < MOST_REPEATS:
            trial = self._study.ask(space)
            levels = {name: _level(sweep.parameters[name], value) for name, value in trial.params.items()}
            known = _identity(levels)
            if known in self._values or not wanted(self.design, levels):
                repeats += 1
                self._tell(trial, self._values.get(known))
                continue
            self._values[known] = None
            self._open.append(trial)
            batch.append(levels)
        self.trials += batch
        return batch

    def tell(self, values: list[float | None]) -> None:
        """What came out of the last `ask`, in its order; None for what failed."""
        for trial, levels, value in zip(self._open, self.trials[-len(self._open) :], values, strict=True):
            self._values[_identity(levels)] = value
            self._tell(trial, value)
        self._open = []
        self._told += 1

    def catch_up(self, told: list[list[float | None]]) -> None:
        """Ask and tell until it has been told all of this."""
        for values in told[self._told :]:
            if not self._open:
                self.ask()
            self.tell(values)

    def _tell(self, trial: optuna.trial.Trial, value: float | None) -> None:
        from optuna.trial import TrialState

        self._study.tell(trial, value, state=TrialState.FAIL if value is None else None)


def drawn(design: SweepDesign, contract: Contract) -> int:
    """How many combinations are drawn at random before any is chosen by what came out: a third, ten at the most.

    It was ten, whatever the budget: so it stays for runs from before the metric had a twin that is searched by.
    """
    has_twin = design.hypothesis is not None and contract.metric(design.hypothesis.metric).twin
    return min(OPTUNAS, max(1, (design.sweep.max_runs or 0) // 3)) if has_twin else OPTUNAS


def _direction(design: SweepDesign, contract: Contract) -> Direction:
    """What to look for: as the hypothesis says or, without one, as the contract does of the metric that matters."""
    if design.hypothesis:
        return design.hypothesis.direction
    main = contract.main_metrics(contract.types[design.type])
    return (contract.metric(main[0]).direction if main else None) or "maximize"


def replay(
    design: SweepDesign,
    contract: Contract,
    results: Callable[[list[Levels]], list[float | None] | None],
    remember: Remember = lambda key, work_out: work_out(),
) -> list[Levels]:
    """The combinations chosen so far, those that are open included.

    `results` says what came out of the latest of the given combinations, and None while one of them is open. Optuna is
    imported, and told all over again, where nothing `remembers` what it asked for after the same results.
    """
    trials: list[Levels] = []
    told: list[list[float | None]] = []  # what came out, batch by batch
    search: Search | None = None

    def ask() -> list[Levels]:
        nonlocal search
        search = search or Search(design, contract)
        search.catch_up(told)
        return search.ask()

    asked = [design.model_dump(mode="json"), _direction(design, contract), drawn(design, contract)]
    while batch := remember(json.dumps([*asked, told]), ask):
        trials = [*trials, *batch]
        values = results(trials)
        if values is None:
            break
        told.append(values[-len(batch) :])
    return trials


def _sampler(design: SweepDesign, startup: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    kinds: dict[str, Callable[..., Any]] = {
        "tpe": lambda seed: samplers.TPESampler(
            seed=seed, constant_liar=design.sweep.parallel > 1, n_startup_trials=startup
        ),
        "gp": lambda seed: samplers.GPSampler(seed=seed, n_startup_trials=startup),
        "random": lambda seed: samplers.RandomSampler(seed=seed),
    }
    try:
        return kinds[design.sweep.sampler](design.sweep.sampler_seed)
    except ImportError as error:
        raise UserError(
            f"sweep.sampler: {design.sweep.sampler} needs a package that is not installed: {error}"
        ) from error


def _distribution(levels: list[Level] | Range) -> optuna.distributions.BaseDistribution:
    """A list is a choice of its places: Optuna knows no lists as values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(levels, list):
        return CategoricalDistribution(range(len(levels)))
    if levels.int:
        return IntDistribution(int(levels.low), int(levels.high), log=levels.log, step=int(levels.step or 1))
    return FloatDistribution(levels.low, levels.high, log=levels.log, step=levels.step)


def _level(levels: list[Level] | Range, value: Any) -> Level:
    """What a run is called by and told: 4 significant digits where values are continuous, as in a random sweep."""
    if isinstance(levels, list):
        return levels[value]
    if levels.int:
        return int(value)
    digits = 4 if levels.step is None else 12
    return min(max(float(f"{value:.{digits}g}"), levels.low), levels.high)


def _identity(levels: Levels) -> tuple[str, ...]:
    return tuple(map(identity, levels.values()))
