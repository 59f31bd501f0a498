"""What a design file may say. Everything unknown is refused; each field's description is also what editors show."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from lab.design.levels import Finite, Level, Levels, Scalar, by_shape, label, printable, without_repeats
from lab.design.overrides import key_of
from lab.errors import not_one_of

if TYPE_CHECKING:
    from lab.contract import Contract

MOST_COMBINATIONS = 1000  # more have to be asked for by sweep.max_runs


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


Line = Annotated[str, AfterValidator(one_line)]
Override = Annotated[Line, Field(description="A Hydra override, as after `dvc exp run -S`: model=yolo11n")]
Overrides = Annotated[
    Annotated[Override, Tag("value")] | Annotated[list[Override], Tag("list")],
    by_shape("an override such as augmentation=none, or a list of them"),
]
Key = Annotated[
    str, Field(pattern=r"^[A-Za-z_][\w/@-]*(\.\w+)*$", description="A key of the config, or a group of conf/")
]
Metric = Annotated[
    str,
    Field(
        pattern=r"^[^.\s]+(\.[^.\s]+)+$",
        description="A metrics file of dvc.yaml, without its folder and ending, and a key in it: evaluate.accuracy",
    ),
]


class Model(BaseModel):
    """What all parts have in common: no unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Guardrail(Model):
    """Something that may not get worse by more than this, in the metric's own unit."""

    metric: Metric
    max_increase: Finite | None = None
    max_decrease: Finite | None = None

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
    direction: Literal["maximize", "minimize"] = "maximize"
    arm: Scalar = None
    """The arm that the claim is about; left out, every arm is compared."""
    versus: Scalar = None
    """The arm that it is measured against."""
    min_effect: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """The smallest difference worth having, in the metric's own unit."""
    guardrails: list[Guardrail] = []
    expected: Finite | None = None
    """The value that the metric is expected to reach."""

    @model_validator(mode="after")
    def _stated_direction(self, info: ValidationInfo) -> Hypothesis:
        """Nothing is guessed from a metric's name."""
        contract = contract_of(info)
        metric = contract.metric(self.metric) if contract else None
        if metric and metric.direction is None and "direction" not in self.model_fields_set:
            unknown = "doesn't say which way is better" if metric.known else "doesn't know"
            raise lacking("direction", f"lab.yaml {unknown} {self.metric}: say maximize or minimize")
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
    max_runs: Annotated[int, Field(ge=1)] | None = None
    """The most combinations; each of them is run with every seed."""
    sampler: Literal["tpe", "gp", "random"] = "tpe"
    """Optuna's sampler; bayesian only."""
    sampler_seed: int = 0
    """The seed of the drawing, apart from the trainings' seeds."""
    parallel: Annotated[int, Field(ge=1)] = 1
    """How many combinations are chosen at a time; bayesian only."""

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
        return self

    def space(self) -> float:
        """The number of combinations there are."""
        return math.prod(v.size() if isinstance(v, Range) else len(v) for v in self.parameters.values())


Values = Annotated[
    Annotated[Levels, Tag("list")] | Annotated[dict[Line, Overrides], Field(min_length=1), Tag("mapping")],
    by_shape("a list of values, or arms by name: {small: model=yolo11n, large: [model=yolo11s, lr=0.001]}"),
]


class ComparisonConfig(Model):
    """Arms that differ in one variable, or in several: all their combinations, or tied together by zip."""

    variable: Key | None = None
    """What the arms differ in: any key or group of the config."""
    values: Values | None = None
    """The variable's values; or arms by name, each with its overrides."""
    variables: Annotated[dict[Key, Levels], Field(min_length=2)] | None = None
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
        return self


class AblationConfig(Model):
    """What each component contributes."""

    baseline: Annotated[list[Override], Field(min_length=1)]
    """The overrides with every component in place."""
    components: Annotated[dict[Annotated[str, Field(pattern=r"^\w+$")], Overrides], Field(min_length=1)]
    """For each component the overrides that take it away."""
    method: Literal["leave_one_out", "add_one_in", "factorial"] = "leave_one_out"
    """Take each away alone; start from none and add each alone; or all 2^k subsets."""


class DesignBase(Model):
    """What designs of all kinds have."""

    name: Annotated[str, Field(pattern=r"^\w[\w-]*$", max_length=60)] = ""
    """The design's name; left out, its file's name without .yaml."""
    type: Line
    """What kind of experiment answers the question: one of the types of lab.yaml, which gives each its stage."""
    title: Line
    """The question."""
    task: Line | None = None
    """Of a project that does several things, which; left out, its default."""
    hypothesis: Hypothesis | None = None
    base: list[Override] = []
    """Hydra overrides that all runs have in common."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(without_repeats)] = [0]
    """Replicates: each arm is run with each of these seeds."""
    constraints: list[Constraint] = []
    exclude: list[Annotated[dict[str, Level], Field(min_length=1)]] = []
    """Combinations nobody wants: each a factor or several with their levels."""
    targets: dict[Line, Finite] = {}
    """Values of the hypothesis' metric with a name each, such as {baseline: 0.84, target: 0.86, stretch: 0.88}."""
    run_name: Line | None = None
    """How runs are called: {date}, {design}, {arm}, {seed}, {feature}, any key of the config, and lab.yaml's names."""
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """The date in the runs' names; left out, that of the commit that last changed the design."""

    @field_validator("type")
    @classmethod
    def _known_type(cls, kind: str, info: ValidationInfo) -> str:
        contract = contract_of(info)
        if contract and kind not in contract.types:
            raise wrong(not_one_of(kind, contract.types))
        return kind

    @field_validator("task")
    @classmethod
    def _possible_task(cls, task: str | None, info: ValidationInfo) -> str | None:
        contract = contract_of(info)
        if contract and task is not None and contract.task is None:
            raise wrong("this project has no tasks to choose from: lab.yaml names no setting that is the task")
        return task

    @field_validator("seeds")
    @classmethod
    def _possible_seeds(cls, seeds: list[int], info: ValidationInfo) -> list[int]:
        contract = contract_of(info)
        if contract and not contract.seeds and len(seeds) > 1:
            raise wrong("lab.yaml names no setting that is the seed, so that replicates would be one run: give one")
        return seeds

    @model_validator(mode="after")
    def _agreement(self, info: ValidationInfo) -> DesignBase:
        contract = contract_of(info)
        fixed = [key_of(override) for override in self.base]
        for factor in self.factors():
            if factor in fixed:
                text = f"{factor} is set in base and varied as well: remove one of them"
                raise wrong(text, "base", fixed.index(factor))
        places: list[tuple[str, tuple[str | int, ...]]] = [(key, ("base", i)) for i, key in enumerate(fixed)]
        places += [(factor, self.place(factor)) for factor in self.factors()]
        for key, place in places:
            if contract and key in contract.seeds:
                raise wrong("the seed is set by seeds: [0, 1, 2], not as a parameter", *place)
            if key.partition(".")[0] == "experiment":
                raise wrong("experiment is what lab writes into a run: it can't be set", *place)
        if self.targets and self.hypothesis is None:
            raise wrong("targets expects a hypothesis: they are values of its metric", "targets")
        return self

    def factors(self) -> list[str]:
        """What the design varies."""
        return []

    def place(self, factor: str) -> tuple[str, ...]:
        """The keys that lead to one of the factors."""
        raise KeyError(factor)

    def size(self) -> float:
        """How many arms there are before constraints and exclude, by the closed formula."""
        return 1

    @property
    def reference(self) -> str | None:
        """The arm that the others are measured against; None where the design names none."""
        return _text(self.hypothesis.versus) if self.hypothesis else None

    @property
    def claimed_arm(self) -> str | None:
        """The arm that the hypothesis is about; None where it is about all."""
        return _text(self.hypothesis.arm) if self.hypothesis else None


class SingleDesign(DesignBase):
    """One arm, such as a baseline."""

    kind: Literal["single"]


class SweepDesign(DesignBase):
    """Which combination of parameters is best."""

    kind: Literal["sweep"]
    sweep: SweepConfig

    def factors(self) -> list[str]:
        return list(self.sweep.parameters)

    def place(self, factor: str) -> tuple[str, ...]:
        return ("sweep", "parameters", factor)

    def size(self) -> float:
        return self.sweep.space() if self.sweep.strategy == "grid" else self.sweep.max_runs or 0


class ComparisonDesign(DesignBase):
    """Which of several is better."""

    kind: Literal["comparison"]
    comparison: ComparisonConfig

    def factors(self) -> list[str]:
        block = self.comparison
        return list(block.variables or [block.variable or "arm"])

    def place(self, factor: str) -> tuple[str, ...]:
        return ("comparison", "variables", factor) if self.comparison.variables else ("comparison", "variable")

    def size(self) -> float:
        block = self.comparison
        if block.variables is None:
            return len(block.values or [])
        lengths = [len(levels) for levels in block.variables.values()]
        return lengths[0] if block.zip else math.prod(lengths)

    @property
    def reference(self) -> str | None:
        return _text(self.comparison.versus) or super().reference

    @model_validator(mode="after")
    def _one_versus(self) -> ComparisonDesign:
        stated = self.hypothesis.versus if self.hypothesis else None
        if None not in (stated, self.comparison.versus) and _text(stated) != _text(self.comparison.versus):
            text = f"hypothesis.versus is {stated}, but comparison.versus is {self.comparison.versus}"
            raise wrong(text, "comparison", "versus")
        return self


class AblationDesign(DesignBase):
    """What each component contributes."""

    kind: Literal["ablation"]
    ablation: AblationConfig

    def factors(self) -> list[str]:
        return list(self.ablation.components)

    def place(self, factor: str) -> tuple[str, ...]:
        return ("ablation", "components", factor)

    def size(self) -> float:
        k = len(self.ablation.components)
        return 2**k if self.ablation.method == "factorial" else k + 1

    @property
    def reference(self) -> str | None:
        return super().reference or ("bare" if self.ablation.method == "add_one_in" else "baseline")


KINDS: dict[str, type[DesignBase]] = {
    "single": SingleDesign,
    "sweep": SweepDesign,
    "comparison": ComparisonDesign,
    "ablation": AblationDesign,
}
Design = SingleDesign | SweepDesign | ComparisonDesign | AblationDesign
DESIGN: TypeAdapter[Design] = TypeAdapter(Annotated[Design, Discriminator("kind")])


def content(design: Design) -> dict[str, Any]:
    """A design as the mapping that its YAML file holds: what was said, without defaults."""
    return {"kind": design.kind} | design.model_dump(mode="json", exclude_unset=True)


def digest(design: DesignBase) -> str:
    """The design's hash: the same for the same question, whether a default was written out or not."""
    said = json.dumps(design.model_dump(mode="json", exclude_defaults=True), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _text(level: Scalar) -> str | None:
    return None if level is None else label(level)
