"""What the parts of a design can say and nobody can mean: each contradiction, with the keys that lead to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from lab.design.blocks import AblationConfig, ComparisonConfig
from lab.design.levels import short_names
from lab.design.overrides import key_of
from lab.errors import nearest

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.models import DesignBase
    from lab.errors import Keys, Mistake


def contradictions(design: DesignBase, contract: Contract | None) -> Iterator[Mistake]:
    """All of a design's."""
    if contract:
        yield from seeds(design, contract)
        yield from worst(design, contract)
    yield from set_twice(design)
    yield from not_to_be_set(design, contract)
    yield from undecidable_growth(design, contract)
    yield from compared_with_itself(design)
    yield from targets(design)
    yield from no_effect(design)
    if design.date is not None:
        yield from no_day(design.date)


def seeds(design: DesignBase, contract: Contract) -> Iterator[Mistake]:
    """A seed in a project that has none."""
    if not contract.seeds and len(design.seeds) > 1:
        yield ("seeds",), "lab.yaml names no setting that is the seed, so that replicates would be one run: give one"


def undecidable_growth(design: DesignBase, contract: Contract | None) -> Iterator[Mistake]:
    """Seeds are added until a comparison over seeds is decided: there has to be one."""
    text, metric = "", contract.metric(design.hypothesis.metric) if contract and design.hypothesis else None
    if design.growth is None:
        return
    if design.claimed_effect or (design.crossed() and not isinstance(design.block, ComparisonConfig)):
        text = "effects rest on all arms with the same seeds: give a list"
    elif design.is_bayesian:
        text = "strategy: bayesian learns from all seeds of a combination before it chooses the next: give a list"
    elif design.hypothesis is None or design.looks_for_the_best:
        text = "a range goes on until each arm is told from the one that it is measured against: give a list"
        text += ", or hypothesis: {…, versus: ARM} of arms that are there from the start"
    elif metric and metric.exact:
        text = f"{metric.name} is counted, and more seeds don't change it: give a list"
    elif contract and metric and metric.per_item and not contract.is_recipe(design.type):
        text = f"{metric.name} is decided over test {contract.item}s for models that are there: more seeds don't tell "
        text += "more, so give a list"
    if text:
        yield ("seeds",), text


def stated(design: DesignBase) -> Iterator[list[tuple[Keys, str]]]:
    """The overrides of a design, those that count together in a list, each with the keys that lead to it."""
    lists: dict[Keys, str | list[str]] = {("base",): design.base}
    block = design.block
    if isinstance(block, ComparisonConfig) and isinstance(block.values, dict):
        lists |= {("comparison", "values", name): texts for name, texts in block.values.items()}
    elif isinstance(block, AblationConfig):
        lists |= {("ablation", "baseline"): block.baseline}
        lists |= {("ablation", "components", name): texts for name, texts in block.components.items()}
    for place, texts in lists.items():
        yield [(place, texts)] if isinstance(texts, str) else [((*place, n), text) for n, text in enumerate(texts)]


def set_twice(design: DesignBase) -> Iterator[Mistake]:
    """What is set in base and varied as well, or twice in a list of overrides."""
    fixed = [key_of(override) for override in design.base]
    for factor in design.factors():
        if factor in fixed:
            text = f"{factor} is set in base and varied as well: remove one of them"
            yield ("base", fixed.index(factor)), text
    for together in stated(design):
        before: dict[str, str] = {}
        for place, text in together:
            key = key_of(text)
            if key in before and not before[key].strip().startswith("~"):  # which makes room for another
                yield place, f"{key} is set before, by {before[key]}: remove one of them"
            before[key] = text


def not_to_be_set(design: DesignBase, contract: Contract | None) -> Iterator[Mistake]:
    """What a design has words of its own for, as its seeds and its task, and what lab writes."""
    places = [each for together in stated(design) for each in together]
    places += [(design.place(factor), f"{factor}=") for factor in design.factors()]
    for place, text in places:
        key, value = key_of(text), text.partition("=")[2]
        if contract and key in contract.seeds:
            yield place, "the seed is set by seeds: [0, 1, 2], not as a parameter"
        if contract and contract.task and key == contract.task.key:
            way = f"write task: {value}" if place[0] == "base" else "arms that differ in it can't be compared"
            yield place, f"a design is about one task, for all of its arms: {way}"
        if key.partition(".")[0] == "experiment":
            yield place, "experiment is what lab writes into a run: it can't be set"


def compared_with_itself(design: DesignBase) -> Iterator[Mistake]:
    """An arm that is its own versus, or two of them."""
    if design.claimed_arm is not None and design.claimed_arm == design.reference:
        text = f"{design.claimed_arm} is its own versus: name another arm that it is measured against"
        yield ("hypothesis", "arm"), text
    apart = design.block.versus if isinstance(design.block, ComparisonConfig) else None
    stated = design.hypothesis.versus if design.hypothesis else None
    if None not in (stated, apart) and design.reference != design.stated_reference:
        yield ("comparison", "versus"), f"hypothesis.versus is {stated}, but comparison.versus is {apart}"


def targets(design: DesignBase) -> Iterator[Mistake]:
    """Tiers of nothing, and those that don't say what the metric has to reach."""
    if not design.targets and "targets" in design.model_fields_set:
        yield ("targets",), "is empty: targets: {target: 0.9}, or leave it out"
    if design.targets and design.hypothesis is None:
        yield ("targets",), "targets expects a hypothesis: they are values of its metric"
    for name, tier in design.tiers().items():
        if design.hypothesis and design.hypothesis.metric not in tier:
            yield ("targets", name), f"says nothing of {design.hypothesis.metric}, the metric of the hypothesis"


def no_effect(design: DesignBase) -> Iterator[Mistake]:
    """An effect is of one or two factors with two levels each, or two on each other, that the arms are made of."""
    place = ("hypothesis", "effect")
    crossed, effect = design.crossed(), design.claimed_effect
    if effect and not crossed:
        laid_out = "a grid, variables of a comparison, or an ablation by method: factorial or fraction"
        yield place, f"an effect is of factors that are crossed: by {laid_out}"
        return
    for factor, count in Counter(effect).items():
        if factor not in crossed:
            names = [*short_names(list(crossed)).values()]
            yield place, f"{factor} is not varied here: {', '.join(names)}.{nearest(factor, names)}"
        elif len(crossed[factor]) != 2:
            yield place, f"{factor} has {len(crossed[factor])} levels, and the effect of a claim is that of two"
        elif count > 1:
            yield place, f"{factor} can't depend on itself: name two factors"


def worst(design: DesignBase, contract: Contract) -> Iterator[Mistake]:
    """An arm may be claimed to be worse than another, as an ablation does; what looks for the best may not."""
    hypothesis = design.hypothesis
    better = contract.metric(hypothesis.metric).direction if hypothesis else None
    if hypothesis and better not in (None, hypothesis.direction) and design.looks_for_the_best:
        text = f"lab.yaml says {better} of {hypothesis.metric}, and this would look for the worst: leave it out"
        yield ("hypothesis", "direction"), text


def no_day(text: str) -> Iterator[Mistake]:
    """A date that no calendar has."""
    try:
        date.fromisoformat(text)
    except ValueError:
        yield ("date",), f"{text}: expected a date such as 2026-11-21, which a calendar has"
