"""The blocks of a design file: the hypothesis, and what each kind of design has of its own."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Tag, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from lab.contract.metrics import Direction
from lab.design.factorial import MOST_FACTORS
from lab.design.levels import (
    Finite,
    Level,
    Levels,
    LevelsInOrder,
    Scalar,
    by_shape,
    identity,
    label,
    printable,
    without_repeats,
)

if TYPE_CHECKING:
    from lab.contract import Contract


def one_line(text: str) -> str:
    """Refuse an empty text, and one that isn't printable."""
    if not text.strip():
        raise ValueError("is empty")
    return printable(text)


def wrong(text: str, *keys: str | int) -> PydanticCustomError:
    """What a validator of a whole block raises: what is wrong, and the keys that lead from the block to where it is."""
    return PydanticCustomError("wrong", "{text}", {"text": text, "keys": keys})


def lacking(key: str, text: str) -> PydanticCustomError:
    """What a validator of a whole block raises where one of its keys should be there: which, and what is expected."""
    return PydanticCustomError("lacking", "{text}", {"text": text, "keys": (key,)})


def contract_of(info: ValidationInfo) -> Contract | None:
    """What lab.yaml says; None where a design is built without, as in a copy of one that was checked."""
    return (info.context or {}).get("contract")


def without_default(schema: dict[str, Any]) -> None:
    """For editors: what is left out is not always the same."""
    schema.pop("default", None)


Line = Annotated[str, AfterValidator(one_line)]
Override = Annotated[Line, Field(description="A Hydra override, as after `dvc exp run -S`: lr=0.001")]
Overrides = Annotated[
    Annotated[Override, Tag("value")] | Annotated[list[Override], Tag("list")],
    by_shape("an override such as augmentation=none, or a list of them"),
]
NAME = r"^\w[\w-]*$"  # of a design, and so of its file
Key = Annotated[
    str, Field(pattern=r"^[A-Za-z_][\w/@-]*(\.[\w-]+)*$", description="A key of the config, or a group of conf/")
]
Metric = Annotated[
    str,
    Field(
        pattern=r"^[^.\s]+( [^.\s]+)*(\.[^.\s]+( [^.\s]+)*)+$",
        description="A metrics file of dvc.yaml, without its folder and ending, and a key in it: evaluate.accuracy",
    ),
]


Duration = Annotated[str, Field(pattern=r"^([1-9]\d*(\.\d+)?[dhms])+$", description="A time: 2h, 30m, 1h30m")]
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}  # seconds


class Model(BaseModel):
    """What all parts have in common: no unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Resources(Model):
    """What one run takes of a machine, and for how long: as many run at a time as fit, and the others wait."""

    gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """A share of a GPU, such as 0.5, or a whole number of them; left out, one that others may use as well."""
    cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Cores; left out, they are not counted."""
    timeout: Duration | None = None
    """The most time that a run may take, after which it has failed; left out, as much as it likes."""

    @model_validator(mode="after")
    def _divisible(self) -> Resources:
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise wrong(f"{label(self.gpus)} is neither a share of one GPU nor a whole number of them", "gpus")
        return self

    @property
    def seconds(self) -> float | None:
        """The most time that a run may take."""
        parts = re.findall(r"([\d.]+)([dhms])", self.timeout or "")
        return sum(float(number) * UNITS[unit] for number, unit in parts) or None


UNSTATED = Resources()


class Budget(Model):
    """The most that a design's runs may take together, on one commit; what doesn't fit is not run."""

    runs: Annotated[int, Field(ge=1)] | None = None
    """How many may be started, those that fail included; runs that others have answered cost nothing."""
    hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """How long their stages may run, added up: two at a time take two hours in one."""

    @model_validator(mode="after")
    def _stated(self) -> Budget:
        if self.runs is None and self.hours is None:
            raise ValueError("expected runs, hours, or both: {runs: 20, hours: 4}")
        return self

    def __str__(self) -> str:
        stated = {"run": self.runs, "hour": self.hours}
        words = (f"{value:g} {name}{'' if value == 1 else 's'}" for name, value in stated.items() if value is not None)
        return " and ".join(words)


class SeedRange(Model):
    """As many seeds as the question takes: a first look after `from` of them, and then one more at a time up to `to`.

    After each, an arm goes on where it is neither decided nor past hope; boundaries for many looks keep the level.
    """

    first: int = Field(ge=2, alias="from")
    """Seeds before the first look; with fewer than two there is no spread to judge by."""
    last: int = Field(le=200, alias="to")
    """The most seeds."""

    @model_validator(mode="after")
    def _ends(self) -> SeedRange:
        if self.first >= self.last:
            raise ValueError(f"from is {self.first} and to is {self.last}: expected from < to")
        return self


class Guardrail(Model):
    """Something that may not get worse by more than this, in the metric's own unit."""

    metric: Metric
    max_increase: Finite | None = None
    max_decrease: Finite | None = None
    strict: bool = True
    """Whether it has to be shown that it gets worse by less (non-inferiority, at 5 %); else the mean has to do so."""

    @model_validator(mode="after")
    def _one_limit(self) -> Guardrail:
        if (self.max_increase is None) == (self.max_decrease is None):
            raise ValueError("expected one of max_increase and max_decrease")
        return self


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

    @model_validator(mode="after")
    def _effect_alone(self) -> Hypothesis:
        """An effect is of all arms: there is no arm that it is about, nor one that guardrails are held against."""
        if self.effect is not None:
            for key in ("arm", "expected", "guardrails"):
                if getattr(self, key) not in (None, []):
                    raise wrong(f"{key} is about an arm, and effect about all of them: give one of the two", key)
        return self

    @model_validator(mode="after")
    def _known_direction(self, info: ValidationInfo) -> Hypothesis:
        """Nothing is guessed from a metric's name."""
        contract = contract_of(info)
        metric = contract.metric(self.metric) if contract else None
        if metric is None or "direction" in self.model_fields_set:
            return self
        if metric.direction is None:
            if not metric.known and contract and (hint := contract.nearest_metric(self.metric)):
                way = "If it is another one, say direction: maximize or minimize"
                raise wrong(f"lab.yaml doesn't know {self.metric}.{hint} {way}", "metric")
            unknown = "doesn't say which way is better" if metric.known else "doesn't know"
            raise lacking("direction", f"lab.yaml {unknown} {self.metric}: say maximize or minimize")
        object.__setattr__(self, "direction", metric.direction)  # not as a field that was set: files stay as they are
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

    @model_validator(mode="after")
    def _ends(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low is {label(self.low)} and high is {label(self.high)}: expected low < high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range starts above 0")
        if self.log and self.step is not None:
            raise ValueError("expected one of log and step")
        ends = [end for end in (self.low, self.high, self.step) if end is not None]
        if self.int and any(end != int(end) for end in ends):
            raise ValueError("int: true expects whole numbers for low, high and step")
        return self

    def size(self) -> float:
        """How many values there are; infinite for a continuous range."""
        if self.step is None and not self.int:
            return float("inf")
        return int((self.high - self.low) / (self.step or 1) + 1e-9) + 1


def check_fraction(block: SweepConfig | AblationConfig, levels: dict[str, int], key: str) -> None:
    """Refuse of a fraction other than two levels, few factors, of which there is none, and too many to be listed."""
    if block.resolution and block.method != "fraction":
        raise wrong("resolution belongs to method: fraction", "resolution")
    for name, number in levels.items() if block.method == "fraction" else ():
        if number != 2:
            raise wrong(f"a fraction takes two values of each parameter, not {number}", key, name)
    if block.method == "fraction" and not 3 <= len(levels) <= MOST_FACTORS:
        raise wrong(f"a fraction takes 3 to {MOST_FACTORS} {key}, not {len(levels)}", key)


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
    finalists: Annotated[int, Field(ge=1)] = 1
    """How many of the combinations that do best on validation go on, and are compared on the test split."""
    halving: Annotated[int, Field(ge=2, le=4)] | None = None
    """Stop early what can't win: with 2, the better half goes on after a quarter of the epochs, and again after a half;
    with 4, the best quarter after a quarter. Left out, all are trained to their end. Grid and random only."""

    @model_validator(mode="after")
    def _strategy(self) -> SweepConfig:
        ranges = [name for name, levels in self.parameters.items() if isinstance(levels, Range)]
        if self.strategy == "grid" and ranges:
            raise wrong(f"{ranges[0]} is a range, but strategy: grid expects lists of values", "parameters", ranges[0])
        if self.strategy != "grid" and self.max_runs is None:
            raise wrong(f"strategy: {self.strategy} expects max_runs", "strategy")
        bayesian = sorted({"sampler", "parallel"} & self.model_fields_set)
        if self.strategy != "bayesian" and bayesian:
            raise wrong(f"{bayesian[0]} belongs to strategy: bayesian", bayesian[0])
        if self.strategy == "bayesian" and self.halving:
            raise wrong("strategy: bayesian learns from whole trainings: halving belongs to grid and random", "halving")
        if self.method and self.strategy != "grid":
            raise wrong(f"method: {self.method} belongs to strategy: grid", "method")
        if self.method and self.halving:
            raise wrong(f"method: {self.method} measures all combinations, and halving stops some", "halving")
        sizes = {name: len(levels) for name, levels in self.parameters.items() if isinstance(levels, list)}
        check_fraction(self, sizes, "parameters")
        return self

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

    @model_validator(mode="after")
    def _form(self) -> ComparisonConfig:
        if (self.values is None) == (self.variables is None):
            raise wrong("expected either values or variables", "variables")
        if self.variables is not None and self.variable is not None:
            raise wrong("expected either variable or variables", "variables")
        if isinstance(self.values, list) and self.variable is None:
            raise wrong("a list of values expects variable: the key that they are values of", "values")
        if self.zip and self.variables is None:
            raise wrong("zip expects variables", "zip")
        lengths = {len(levels) for levels in (self.variables or {}).values()}
        if self.zip and len(lengths) > 1:
            counts = ", ".join(map(str, sorted(lengths)))
            raise wrong(f"zip expects as many values for each variable, not {counts}", "variables")
        if self.values is not None and len(self.values) == 1:
            raise wrong("one arm has nothing to be compared with: give a second one, or ask by kind: single", "values")
        self._check_repeats(self.variables or {})
        return self

    def _check_repeats(self, variables: dict[str, list[Level]]) -> None:
        """Tied together, a level may come again, as in a fraction of a factorial, but no combination of them."""
        if self.zip:
            tied = [list(levels) for levels in zip(*variables.values(), strict=True)]
            rows = [identity([label(level) for level in levels]) for levels in tied]
            twice = next((levels for place, levels in enumerate(tied) if rows[place] in rows[:place]), None)
            if twice:
                combination = ", ".join(f"{key}={label(level)}" for key, level in zip(variables, twice, strict=True))
                raise wrong(f"{combination} is there twice", "variables")
            return
        for key, levels in variables.items():
            try:
                without_repeats(levels)
            except ValueError as error:
                raise wrong(str(error), "variables", key) from error


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

    @model_validator(mode="after")
    def _fraction(self) -> AblationConfig:
        check_fraction(self, dict.fromkeys(self.components, 2), "components")
        return self
