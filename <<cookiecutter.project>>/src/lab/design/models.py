"""What a design file may say. Everything unknown is refused; each field's description is also what editors show."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter, ValidationInfo, field_validator

from lab.contract.base import balanced
from lab.design import meaning
from lab.design.blocks import AblationConfig, ComparisonConfig, Constraint, Hypothesis, SeedRange, SweepConfig
from lab.design.factorial import fraction
from lab.design.forms import NAME, Line, Metric, Model, Override, contract_of, wrong_value
from lab.design.levels import Finite, Level, Scalar, by_shape, identity, label, short_names, without_repeats
from lab.design.resources import UNSTATED, Budget, Resources
from lab.errors import not_one_of

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.errors import Mistake

Target = Annotated[
    Annotated[Finite, Tag("value")] | Annotated[dict[Metric, Finite], Field(min_length=1), Tag("mapping")],
    by_shape("a number, or a value for each of several metrics: {infer.f1_macro: 0.9}"),
]


Seeds = Annotated[
    Annotated[
        list[Annotated[int, Field(ge=0)]],
        Field(min_length=1, max_length=1000),
        AfterValidator(without_repeats),
        Tag("list"),
    ]
    | Annotated[SeedRange, Tag("mapping")],
    by_shape("a list of seeds such as [0, 1, 2], or a range to be used as far as it takes: {from: 3, to: 12}"),
]


class DesignBase(Model):
    """What designs of all kinds have."""

    name: Annotated[str, Field(pattern=NAME, max_length=60)] = ""
    """The design's name; left out, its file's name without .yaml."""
    type: Line
    """What kind of experiment answers the question: one of the types of lab.yaml, which gives each its stage."""
    title: Line
    """The question."""
    task: Line | None = None
    """Of a project that does several things, which; left out, its default."""
    hypothesis: Hypothesis | None = None
    """What is believed to come out: lab run asks for it before anything runs."""
    base: list[Override] = []
    """Hydra overrides that all runs have in common."""
    stated_seeds: Seeds = Field([0], alias="seeds")
    """Replicates: each arm is run with each of these seeds, or with as many as it takes: {from: 3, to: 12}."""
    constraints: list[Constraint] = []
    """Conditions on what is varied: [{require: "data.batch_size * lr <= 1", otherwise: skip}]."""
    exclude: list[Annotated[dict[str, Level], Field(min_length=1)]] = []
    """Combinations nobody wants: each a factor or several with their levels."""
    targets: dict[Line, Target] = {}
    """Tiers by name, each a value of the hypothesis' metric, such as {baseline: 0.84, target: 0.86, stretch: 0.88}, or
    values of several metrics: {final: {infer.f1_macro: 0.9, infer.accuracy: 0.91}}."""
    resources: Resources = UNSTATED
    """What each run takes of a machine, such as {gpus: 0.5}; it is no part of the question."""
    budget: Budget | None = None
    """The most runs and hours that it may take: {runs: 20, hours: 4}; it is no part of the question."""
    run_name: Annotated[Line, AfterValidator(balanced)] | None = None
    """How runs are called: {date}, {design}, {arm}, {seed}, {feature}, any key of the config, and lab.yaml's names."""
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """The date in the runs' names; left out, that of the commit that last changed the design."""

    @field_validator("type")
    @classmethod
    def _known_type(cls, kind: str, info: ValidationInfo) -> str:
        contract = contract_of(info)
        if contract and kind not in contract.types:
            raise wrong_value(not_one_of(kind, contract.types))
        return kind

    @field_validator("task")
    @classmethod
    def _possible_task(cls, task: str | None, info: ValidationInfo) -> str | None:
        contract = contract_of(info)
        if contract and task is not None and contract.task is None:
            raise wrong_value("this project has no tasks to choose from: lab.yaml names no setting that is the task")
        return task

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        return meaning.contradictions(self, contract)

    @property
    def growth(self) -> SeedRange | None:
        """The range of seeds to be used as far as it takes; None where they are fixed."""
        return self.stated_seeds if isinstance(self.stated_seeds, SeedRange) else None

    @property
    def seeds(self) -> list[int]:
        """All seeds that an arm may be run with, in their order."""
        return list(range(self.stated_seeds.last)) if isinstance(self.stated_seeds, SeedRange) else self.stated_seeds

    @property
    def seed_count(self) -> str:
        """How many seeds an arm is run with, in words: `5`, `3 to 12`."""
        return f"{self.growth.first} to {self.growth.last}" if self.growth else str(len(self.seeds))

    @property
    def first_seeds(self) -> int:
        """With how many of them each arm is run in any case."""
        return self.growth.first if self.growth else len(self.seeds)

    @property
    def is_bayesian(self) -> bool:
        """Whether the combinations are chosen while the design runs."""
        return False

    @property
    def looks_for_the_best(self) -> bool:
        """Whether the direction of the hypothesis says what is good, and not how an arm differs from another."""
        return self.reference is None and not self.claimed_effect

    def tiers(self) -> dict[str, dict[str, float]]:
        """The targets: of each its metrics with the values that they have to reach."""
        main = self.hypothesis.metric if self.hypothesis else ""
        return {name: tier if isinstance(tier, dict) else {main: tier} for name, tier in self.targets.items()}

    @property
    def block(self) -> SweepConfig | ComparisonConfig | AblationConfig | None:
        """What designs of its kind have of their own."""
        return None

    def factors(self) -> list[str]:
        """What the design varies."""
        return []

    def crossed(self) -> dict[str, list[Level]]:
        """The factors whose effects the arms tell, with their levels; empty where they aren't laid out for that."""
        return {}

    @property
    def claimed_effect(self) -> tuple[str, ...]:
        """The factors of the effect that the hypothesis is about, by their keys; empty where it is about arms."""
        effect = self.hypothesis.effect if self.hypothesis else None
        known = {short: factor for factor, short in short_names(self.factors()).items()}
        return tuple(known.get(name, name) for name in effect.split(":")) if effect else ()

    def place(self, factor: str) -> tuple[str, ...]:
        """The keys that lead to one of the factors."""
        raise KeyError(factor)

    def size(self) -> float:
        """How many arms there are before constraints and exclude, by the closed formula."""
        return 1

    @property
    def stated_reference(self) -> str | None:
        """The arm that the hypothesis is measured against; None where it names none."""
        return _text(self.hypothesis.versus) if self.hypothesis else None

    @property
    def reference(self) -> str | None:
        """The arm that the others are measured against; None where the design names none."""
        return self.stated_reference

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

    @property
    def block(self) -> SweepConfig:
        return self.sweep

    def factors(self) -> list[str]:
        return list(self.sweep.parameters)

    def place(self, factor: str) -> tuple[str, ...]:
        return ("sweep", "parameters", factor)

    def crossed(self) -> dict[str, list[Level]]:
        claims = self.hypothesis is not None and self.hypothesis.effect is not None
        if self.sweep.strategy != "grid" or not (self.sweep.method or claims):
            return {}
        return {name: levels for name, levels in self.sweep.parameters.items() if isinstance(levels, list)}

    @property
    def is_bayesian(self) -> bool:
        return self.sweep.strategy == "bayesian"

    @property
    def looks_for_the_best(self) -> bool:
        return super().looks_for_the_best or self.is_bayesian

    def size(self) -> float:
        if self.sweep.method == "fraction":
            return len(fraction(len(self.sweep.parameters), self.sweep.resolution or 4))
        return self.sweep.space() if self.sweep.strategy == "grid" else self.sweep.max_runs or 0


class ComparisonDesign(DesignBase):
    """Which of several is better."""

    kind: Literal["comparison"]
    comparison: ComparisonConfig

    @property
    def block(self) -> ComparisonConfig:
        return self.comparison

    def factors(self) -> list[str]:
        block = self.comparison
        return list(block.variables or [block.variable or "arm"])

    def place(self, factor: str) -> tuple[str, ...]:
        return ("comparison", "variables", factor) if self.comparison.variables else ("comparison", "variable")

    def crossed(self) -> dict[str, list[Level]]:
        found: dict[str, list[Level]] = {}
        for name, levels in (self.comparison.variables or {}).items():
            found[name] = [*{identity(level): level for level in levels}.values()]  # tied, a level may come again
        return found if all(len(levels) > 1 for levels in found.values()) else {}

    def size(self) -> float:
        block = self.comparison
        if block.variables is None:
            return len(block.values or [])
        lengths = [len(levels) for levels in block.variables.values()]
        return lengths[0] if block.zip else math.prod(lengths)

    @property
    def reference(self) -> str | None:
        return _text(self.comparison.versus) or self.stated_reference

    @property
    def looks_for_the_best(self) -> bool:
        return False  # without a reference of its own it has its first arm


class AblationDesign(DesignBase):
    """What each component contributes."""

    kind: Literal["ablation"]
    ablation: AblationConfig

    @property
    def block(self) -> AblationConfig:
        return self.ablation

    def factors(self) -> list[str]:
        return list(self.ablation.components)

    def place(self, factor: str) -> tuple[str, ...]:
        return ("ablation", "components", factor)

    def crossed(self) -> dict[str, list[Level]]:
        if self.ablation.method not in ("factorial", "fraction"):
            return {}
        return {name: [False, True] for name in self.ablation.components}

    def size(self) -> float:
        k = len(self.ablation.components)
        if self.ablation.method == "fraction":
            return len(fraction(k, self.ablation.resolution or 4))
        return 2**k if self.ablation.method == "factorial" else k + 1

    @property
    def reference(self) -> str | None:
        return self.stated_reference or ("bare" if self.ablation.method == "add_one_in" else "baseline")


KINDS: dict[str, type[DesignBase]] = {
    "single": SingleDesign,
    "sweep": SweepDesign,
    "comparison": ComparisonDesign,
    "ablation": AblationDesign,
}
Design = SingleDesign | SweepDesign | ComparisonDesign | AblationDesign
DESIGN: TypeAdapter[Design] = TypeAdapter(Annotated[Design, Discriminator("kind")])


def content(design: Design) -> dict[str, Any]:
    """A design as the mapping that its YAML file holds, without defaults."""
    return {"kind": design.kind} | design.model_dump(mode="json", by_alias=True, exclude_unset=True)


def digest(design: DesignBase) -> str:
    """The design's hash: the same for the same question, whether a default was written out or not, wherever it runs.

    A direction counts where the design states it: elsewhere it is lab.yaml's, which has a history of its own.
    """
    fields = design.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"resources", "budget"})
    if design.hypothesis:
        fields["hypothesis"].pop("direction", None)
        fields["hypothesis"] |= design.hypothesis.model_dump(include={"direction"}, exclude_unset=True)
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _text(level: Scalar) -> str | None:
    return None if level is None else label(level)
