"""The blocks of a design file: the hypothesis, and what each kind of design has of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, Tag, ValidationInfo, model_validator

from lab.contract.metrics import Direction
from lab.design.factorial import MOST_FACTORS
from lab.design.forms import Key, Line, Metric, Model, Override, Overrides, contract_of, without_default
from lab.design.levels import (
    Finite,
    Level,
    Levels,
    LevelsInOrder,
    Scalar,
    by_shape,
    identity,
    label,
    without_repeats,
)

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.errors import Mistake


Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class SeedRange(Model):
    """As many seeds as the question takes: a first look after `from` of them, and then one more at a time up to `to`.

    After each, an arm goes on where it is neither decided nor past hope; boundaries for many looks keep the level.
    """

    first: int = Field(ge=2, alias="from")
    """Seeds before the first look; with fewer than two there is no spread to judge by."""
    last: int = Field(le=200, alias="to")
    """The most seeds."""

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        if self.first >= self.last:
            yield (), f"from is {self.first} and to is {self.last}: expected from < to"


class Guardrail(Model):
    """Something that may not get worse by more than this, in the metric's own unit."""

    metric: Metric
    max_increase: Limit | None = None
    max_decrease: Limit | None = None
    strict: bool = True
    """Whether it has to be shown that it gets worse by less (non-inferiority, at 5 %); else the mean has to do so."""

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        if (self.max_increase is None) == (self.max_decrease is None):
            yield (), "expected one of max_increase and max_decrease"
            return
        metric = contract.metric(self.metric) if contract else None
        if contract and metric and not metric.known and (hint := contract.nearest_metric(self.metric)):
            way = "If it is another one, lab.yaml says so under metrics"
            yield ("metric",), f"lab.yaml doesn't know {self.metric}.{hint} {way}"
        if metric and metric.direction:
            stated = "max_decrease" if self.max_increase is None else "max_increase"
            expected, better = ("max_decrease", "more") if metric.direction == "maximize" else ("max_increase", "less")
            if stated != expected:
                limit = label(getattr(self, stated))
                yield (stated,), f"{better} of {self.metric} is better: write {expected}: {limit}"
            elif (
                metric.low is not None and metric.high is not None and getattr(self, stated) >= metric.high - metric.low
            ):
                text = f"{self.metric} lies between {metric.low:g} and {metric.high:g}, and never gets worse by as much"
                yield (stated,), text


class Hypothesis(Model):
    """What is expected, in words and in a form that the results can be held against."""

    claim: Line
    """In words: what is believed to be true."""
    metric: Metric
    direction: Annotated[Direction, Field(json_schema_extra=without_default)] = "maximize"
    """Whether more or less of the metric is claimed; left out, which way is better by lab.yaml."""
    arm: Scalar = None
    """The arm that the claim is about; left out, every arm is compared."""
    versus: Scalar = None
    """The arm that it is measured against."""
    effect: Annotated[str, Field(pattern=r"^[^:\s]+(:[^:\s]+)?$")] | None = None
    """In place of an arm, the effect that the claim is about: of a factor with two levels (ema), or how much the effect
    of one depends on another (ema:mixup)."""
    min_effect: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """The smallest difference worth having, in the metric's own unit."""
    guardrails: list[Guardrail] = []
    """What may not get worse by more than this: [{metric: infer.accuracy, max_decrease: 0.01}]."""
    expected: Finite | None = None
    """The value that the metric is expected to reach."""
    expected_baseline: Finite | None = None
    """The value that the arm has which the others are measured against, as far as is known."""
    because: Line | None = None
    """Why that is expected: earlier results, a paper."""

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        for key in ("arm", "expected", "guardrails") if self.effect is not None else ():
            if getattr(self, key) not in (None, []):  # there is no arm that it is about, nor one to be held against
                yield (key,), f"{key} is about an arm, and effect about all of them: give one of the two"
        metric = contract.metric(self.metric) if contract else None
        if contract and metric and not metric.direction and "direction" not in self.model_fields_set:
            if not metric.known and (hint := contract.nearest_metric(self.metric)):
                way = "If it is another one, say direction: maximize or minimize"
                yield ("metric",), f"lab.yaml doesn't know {self.metric}.{hint} {way}"
                return
            unknown = "doesn't say which way is better" if metric.known else "doesn't know"
            yield ("direction",), f"lab.yaml {unknown} {self.metric}: say maximize or minimize"

    @model_validator(mode="after")
    def _known_direction(self, info: ValidationInfo) -> Hypothesis:
        """Nothing is guessed from a metric's name."""
        contract = contract_of(info)
        if contract and "direction" not in self.model_fields_set and (way := contract.metric(self.metric).direction):
            object.__setattr__(self, "direction", way)  # not as a field that was set: files stay as they are
        return self


class Constraint(Model):
    """A condition on the levels, such as `data.batch_size * data.image_size <= 4096`."""

    require: Line
    """Factors by their keys, numbers, texts, arithmetic, comparisons, in, and, or, not."""
    otherwise: Literal["skip", "error"]
    """What to do with a combination that doesn't meet it."""


class Range(Model):
    """Values between two ends, for random and bayesian sweeps."""

    low: Finite
    high: Finite
    log: bool = False
    """Draw evenly on a logarithmic scale."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    int: bool = False
    """Whole numbers only."""

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        if self.low >= self.high:
            yield (), f"low is {label(self.low)} and high is {label(self.high)}: expected low < high"
        elif self.step is not None and self.step > self.high - self.low:
            text = (
                f"{label(self.step)} is more than high - low, {self.high - self.low:.12g}: low would be its only value"
            )
            yield ("step",), text
        elif math.isinf(self.high - self.low):
            yield (), "low and high lie too far apart for a computer's numbers"
        if self.log and self.low <= 0:
            yield (), "a logarithmic range starts above 0"
        if self.log and self.step is not None:
            yield (), "expected one of log and step"
        ends = [end for end in (self.low, self.high, self.step) if end is not None]
        if self.int and any(end != int(end) for end in ends):
            yield (), "int: true expects whole numbers for low, high and step"

    def size(self) -> float:
        """How many values there are; infinite for a continuous range."""
        if self.step is None and not self.int:
            return float("inf")
        return int((self.high - self.low) / (self.step or 1) + 1e-9) + 1


def no_fraction(block: SweepConfig | AblationConfig, levels: dict[str, int], key: str) -> Iterator[Mistake]:
    """Of a fraction other than two levels, few factors, of which there is none, and too many to be listed."""
    if block.resolution and block.method != "fraction":
        yield ("resolution",), "resolution belongs to method: fraction"
    for name, number in levels.items() if block.method == "fraction" else ():
        if number != 2:
            yield (key, name), f"a fraction takes two values of each parameter, not {number}"
    if block.method == "fraction" and not 3 <= len(levels) <= MOST_FACTORS:
        yield (key,), f"a fraction takes 3 to {MOST_FACTORS} {key}, not {len(levels)}"


Parameter = Annotated[
    Annotated[Levels, Tag("list")] | Annotated[Range, Tag("mapping")],
    by_shape("a list of values, or a range: {low: …, high: …}"),
]


class SweepConfig(Model):
    """Combinations of several parameters."""

    strategy: Literal["grid", "random", "bayesian"] = "grid"
    """All combinations; so many drawn at random; or chosen by Optuna from what came out before."""
    parameters: Annotated[dict[Key, Parameter], Field(min_length=1)]
    """For each parameter a list of values or, unless the strategy is grid, a range: {low, high, log, step, int}."""
    max_runs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """The most combinations; each of them is run with every seed."""
    method: Literal["factorial", "fraction"] | None = None
    """Of a grid, to ask what each parameter does and not which combination is best: all combinations, or a regular
    fraction of them, of parameters with two values each."""
    resolution: Literal[3, 4, 5] | None = None
    """Of a fraction: 3 tells the parameters' effects from one another, 4 (left out) also from interactions, and 5 these
    from one another as well. The more it tells, the more combinations it takes."""
    sampler: Literal["tpe", "gp", "random"] = "tpe"
    """Optuna's sampler; bayesian only."""
    sampler_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The seed of the drawing, apart from the trainings' seeds."""
    parallel: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many combinations are chosen at a time; bayesian only."""
    finalists: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many of the combinations that do best on validation go on, and are compared on the test split."""
    halving: Annotated[int, Field(ge=2, le=4)] | None = None
    """Stop early what can't win: with 2, the better half goes on after a quarter of the epochs, and again after a half;
    with 4, the best quarter after a quarter. Left out, all are trained to their end. Grid and random only."""

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        for name, levels in self.parameters.items() if self.strategy == "grid" else ():
            if isinstance(levels, Range):
                yield ("parameters", name), f"{name} is a range, but strategy: grid expects lists of values"
        if self.strategy != "grid" and self.max_runs is None:
            yield ("strategy",), f"strategy: {self.strategy} expects max_runs"
        for key in sorted({"sampler", "parallel"} & self.model_fields_set) if self.strategy != "bayesian" else ():
            yield (key,), f"{key} belongs to strategy: bayesian"
        if self.strategy == "bayesian" and self.halving:
            yield ("halving",), "strategy: bayesian learns from whole trainings: halving belongs to grid and random"
        if self.method and self.strategy != "grid":
            yield ("method",), f"method: {self.method} belongs to strategy: grid"
        elif self.method and self.halving:
            yield ("halving",), f"method: {self.method} measures all combinations, and halving stops some"
        sizes = {name: len(levels) for name, levels in self.parameters.items() if isinstance(levels, list)}
        yield from no_fraction(self, sizes, "parameters")

    def space(self) -> float:
        """The number of combinations there are."""
        return math.prod(v.size() if isinstance(v, Range) else len(v) for v in self.parameters.values())


Values = Annotated[
    Annotated[Levels, Tag("list")] | Annotated[dict[Line, Overrides], Field(min_length=1), Tag("mapping")],
    by_shape("a list of values, or arms by name: {small: model=s, large: [model=l, lr=0.001]}"),
]


class ComparisonConfig(Model):
    """Arms that differ in one variable, or in several: all their combinations, or tied together by zip."""

    variable: Key | None = None
    """What the arms differ in: any key or group of the config."""
    values: Values | None = None
    """The variable's values; or arms by name, each with its overrides."""
    variables: Annotated[dict[Key, LevelsInOrder], Field(min_length=2)] | None = None
    """Several variables with their values, in place of variable and values."""
    zip: bool = False
    """The first value of each variable together, then the second…, in place of all combinations."""
    versus: Scalar = None
    """The arm that the others are measured against; left out, the first one."""

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        if (self.values is None) == (self.variables is None):
            yield ("variables",), "expected either values or variables"
        elif self.variables is not None and self.variable is not None:
            yield ("variables",), "expected either variable or variables"
        if isinstance(self.values, list) and self.variable is None:
            yield ("values",), "a list of values expects variable: the key that they are values of"
        if self.zip and self.variables is None:
            yield ("zip",), "zip expects variables"
        if self.values is not None and len(self.values) == 1:
            yield ("values",), "one arm has nothing to be compared with: give a second one, or ask by kind: single"
        lengths = {len(levels) for levels in (self.variables or {}).values()}
        if self.zip and len(lengths) > 1:
            counts = ", ".join(map(str, sorted(lengths)))
            yield ("variables",), f"zip expects as many values for each variable, not {counts}"
        elif self.variables and math.prod(map(len, self.variables.values())) == 1:
            yield ("variables",), "one arm has nothing to be compared with: give a second value of one of them"
        else:
            yield from self._repeats(self.variables or {})

    def _repeats(self, variables: dict[str, list[Level]]) -> Iterator[Mistake]:
        """Tied together, a level may come again, as in a fraction of a factorial, but no combination of them."""
        if self.zip and variables:
            tied = [list(levels) for levels in zip(*variables.values(), strict=True)]
            rows = [identity([label(level) for level in levels]) for levels in tied]
            twice = next((levels for place, levels in enumerate(tied) if rows[place] in rows[:place]), None)
            if twice:
                combination = ", ".join(f"{key}={label(level)}" for key, level in zip(variables, twice, strict=True))
                yield ("variables",), f"{combination} is there twice"
            return
        for key, levels in variables.items():
            try:
                without_repeats(levels)
            except ValueError as error:
                yield ("variables", key), str(error)


class AblationConfig(Model):
    """What each component contributes."""

    baseline: Annotated[list[Override], Field(min_length=1)]
    """The overrides with every component in place."""
    components: Annotated[dict[Annotated[str, Field(pattern=r"^\w+$")], Overrides], Field(min_length=1)]
    """For each component the overrides that take it away."""
    method: Literal["leave_one_out", "add_one_in", "factorial", "fraction"] = "leave_one_out"
    """Take each away alone; start from none and add each alone; all 2^k subsets; or a regular fraction of these."""
    resolution: Literal[3, 4, 5] | None = None
    """Of a fraction, as of a sweep's."""

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        yield from no_fraction(self, dict.fromkeys(self.components, 2), "components")
