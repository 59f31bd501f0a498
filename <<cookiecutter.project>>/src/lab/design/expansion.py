"""A design's arms: the combinations of levels, in stable order."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from typing import TypeGuard

from lab.design import constraints
from lab.design.blocks import Range, SweepConfig
from lab.design.factorial import fraction
from lab.design.levels import Level, identity, label, short_names
from lab.design.models import AblationDesign, ComparisonDesign, Design, SingleDesign, SweepDesign
from lab.design.overrides import override
from lab.errors import Mistake, MistakesInFile, UserError, all_told, nearest

Levels = dict[str, Level]
MOST_COMBINATIONS = 1000  # more have to be asked for by sweep.max_runs
MOST_DRAWS = 1000  # for each combination wanted, before we say that constraints leave too few


@dataclass(frozen=True)
class Arm:
    """One combination of levels: its name, its levels by factor, and the Hydra overrides that set them."""

    name: str
    levels: Levels
    overrides: list[str]


def arms(design: Design, trials: Sequence[Levels] = ()) -> list[Arm]:
    """The arms of a design, without those that constraints and exclude take away.

    Args:
        design: the design.
        trials: of a bayesian sweep, the combinations chosen so far; it has no other arms.

    Raises:
        UserError: too many combinations, none left, the same one twice, unknown factors in constraints or exclude.
    """
    all_told(partial(check_size, design), partial(check_exclude, design), partial(check_constraints, design))
    if isinstance(design, SweepDesign):
        chosen = sweep_arms(design, trials)
        check_taken_away(design, [], chosen)
    else:
        kinds: dict[type, Callable[..., Iterator[Arm]]] = {
            SingleDesign: single_arms,
            ComparisonDesign: comparison_arms,
            AblationDesign: ablation_arms,
        }
        every = list(kinds[type(design)](design))
        chosen = [arm for arm in every if wanted(design, arm.levels)]
        check_taken_away(design, every, chosen)
    if not chosen and not is_bayesian(design):
        keys = [key for key in ("exclude", "constraints") if getattr(design, key)]
        raise mistake("constraints and exclude leave no combination", *keys[:1])
    twice = [name for name, count in Counter(arm.name for arm in chosen).items() if count > 1]
    if twice:
        raise mistake(f"two arms are called {twice[0]}: name them by values: {{name: overrides}}", design.kind)
    return chosen


def check_taken_away(design: Design, every: list[Arm], chosen: list[Arm]) -> None:
    """Raises UserError: exclude or constraints took the arm that others are measured against, or left it alone."""
    if isinstance(design, SingleDesign) or is_bayesian(design) or not chosen:
        return
    names, left = [arm.name for arm in every], [arm.name for arm in chosen]
    reference = design.reference or next(iter(names), None)
    gone = [arm for arm in every if arm.name not in left]
    excluded = any(matches(pattern, arm.levels) for arm in gone for pattern in design.exclude)
    by = "exclude" if excluded or not design.constraints else "constraints"
    ending = "" if by == "constraints" else "s"
    if reference in names and reference not in left:
        text = f"{reference} is the arm that the others are measured against, and {by} take{ending} it away"
        raise mistake(f"{text}: keep it, or name another by versus", by)
    if len(left) == 1 and getattr(design, by):
        raise mistake(f"{by} leave{ending} {left[0]} alone, which has nothing to be compared with", by)


def mistake(text: str, *keys: str | int) -> MistakesInFile:
    """What is raised of something in the design's file, with the keys that lead to it."""
    return MistakesInFile((keys, text))


def is_bayesian(design: Design) -> TypeGuard[SweepDesign]:
    """Whether the combinations are chosen while the design runs."""
    return isinstance(design, SweepDesign) and design.is_bayesian


def single_arms(design: SingleDesign) -> Iterator[Arm]:
    """The one arm."""
    yield Arm("baseline", {}, [])


def sweep_arms(design: SweepDesign, trials: Sequence[Levels]) -> list[Arm]:
    """All combinations, so many drawn ones, or those chosen so far."""
    sweep = design.sweep
    if sweep.strategy == "bayesian":
        combinations: Iterable[Levels] = trials
    elif sweep.strategy == "random":
        combinations = draw(design)
    else:
        every = fractional(design) if sweep.method == "fraction" else grid(sweep.parameters)  # type: ignore[arg-type]
        combinations = (levels for levels in every if wanted(design, levels))
    return [named_by_levels(levels) for levels in combinations]


def fractional(design: SweepDesign) -> Iterator[Levels]:
    """The combinations of a regular fraction, the first of which has each parameter's first value."""
    parameters = {name: levels for name, levels in design.sweep.parameters.items() if isinstance(levels, list)}
    for row in fraction(len(parameters), design.sweep.resolution or 4):
        yield {name: levels[0 if first else 1] for (name, levels), first in zip(parameters.items(), row, strict=True)}


def comparison_arms(design: ComparisonDesign) -> Iterator[Arm]:
    """One arm a value, or one for each combination of several variables."""
    block = design.comparison
    if block.variables is not None:
        tied = (
            dict(zip(block.variables, levels, strict=True)) for levels in zip(*block.variables.values(), strict=False)
        )
        for levels in tied if block.zip else grid(block.variables):
            yield named_by_levels(levels)
    elif isinstance(block.values, dict):
        for name, overrides in block.values.items():
            yield Arm(name, {block.variable or "arm": name}, as_list(overrides))
    else:
        assert block.variable is not None and block.values is not None
        for value in block.values:
            yield Arm(label(value), {block.variable: value}, [override(block.variable, value)])


def ablation_arms(design: AblationDesign) -> Iterator[Arm]:
    """The baseline (everything in place) or bare (nothing), and the subsets that the method asks for."""
    block = design.ablation
    everything = list(block.components)
    if block.method == "fraction":
        rows: Iterable[tuple[bool, ...]] = fraction(len(everything), block.resolution or 4)
    else:
        rows = product([True, False], repeat=len(everything))
    crossed = ([name for name, kept in zip(everything, row, strict=True) if kept] for row in rows)
    subsets: dict[str, Iterable[list[str]]] = {
        "leave_one_out": [everything] + [[part for part in everything if part != name] for name in everything],
        "add_one_in": [[], *([name] for name in everything)],
        "factorial": crossed,
        "fraction": crossed,
    }
    for kept in subsets[block.method]:
        gone = [name for name in everything if name not in kept]
        overrides = block.baseline + [text for name in gone for text in as_list(block.components[name])]
        yield Arm(ablation_name(kept, gone, block.method), {name: name in kept for name in everything}, overrides)


def ablation_name(kept: list[str], gone: list[str], method: str) -> str:
    """`baseline`, `bare`, `no_ema`, or `only_ema+mixup`."""
    if not gone:
        return "baseline"
    if method == "leave_one_out":
        return f"no_{gone[0]}"
    return f"only_{'+'.join(kept)}" if kept else "bare"


def grid(parameters: dict[str, list[Level]]) -> Iterator[Levels]:
    """All combinations; the last parameter changes fastest."""
    for levels in product(*parameters.values()):
        yield dict(zip(parameters, levels, strict=True))


def draw(design: SweepDesign) -> Iterator[Levels]:
    """`max_runs` different combinations, the same on every machine.

    Raises:
        UserError: there are not that many.
    """
    sweep, seen = design.sweep, set()
    wanted_count = sweep.max_runs or 0
    if wanted_count > sweep.space():
        text = f"sweep.max_runs: {wanted_count}, but there are {sweep.space()} combinations: use strategy: grid"
        raise mistake(text, "sweep", "max_runs")
    for levels in islice(endless(sweep), MOST_DRAWS * wanted_count):
        key = tuple(map(identity, levels.values()))
        if key not in seen and wanted(design, levels):
            seen.add(key)
            yield levels
        if len(seen) == wanted_count:
            return
    text = f"sweep.max_runs: {wanted_count}, but only {len(seen)} combinations were found that are allowed"
    raise mistake(text, "sweep", "max_runs")


def endless(sweep: SweepConfig) -> Iterator[Levels]:
    """One random combination after the other."""
    generator = random.Random(sweep.sampler_seed)
    while True:
        yield {name: pick(levels, generator.random()) for name, levels in sweep.parameters.items()}


def pick(levels: list[Level] | Range, u: float) -> Level:
    """The level at `u` (0 up to 1) of the way. Continuous ones have 4 significant digits: what a name can show."""
    if isinstance(levels, list):
        return levels[int(u * len(levels))]
    if levels.step is not None or (levels.int and not levels.log):
        value = levels.low + (levels.step or 1) * int(u * levels.size())
    elif levels.log:
        value = levels.low * math.exp(u * math.log(levels.high / levels.low))
    else:
        value = levels.low + u * (levels.high - levels.low)
    if levels.int:
        return round(value)
    if levels.step is not None:
        return float(f"{value:.12g}")  # 0.1 + 2 * 0.1 is 0.3
    return min(max(float(f"{value:.4g}"), levels.low), levels.high)


def named_by_levels(levels: Levels) -> Arm:
    """An arm called `lr=0.001,batch_size=16`."""
    names = short_names(list(levels))
    name = ",".join(f"{names[factor]}={label(level)}" for factor, level in levels.items())
    return Arm(name, levels, [override(factor, level) for factor, level in levels.items()])


def as_list(overrides: str | list[str]) -> list[str]:
    """One override or several, as a list."""
    return [overrides] if isinstance(overrides, str) else overrides


def wanted(design: Design, levels: Levels) -> bool:
    """Whether exclude and constraints let a combination through. Raises UserError where one says `otherwise: error`."""
    if any(matches(pattern, levels) for pattern in design.exclude):
        return False
    known = {short: levels[factor] for factor, short in short_names(list(levels)).items()} | levels
    for place, constraint in enumerate(design.constraints):
        try:
            met = constraints.holds(constraint.require, known)
        except UserError as error:
            raise mistake(str(error), "constraints", place, "require") from error
        if not met:
            if constraint.otherwise == "error":
                combination = ", ".join(f"{factor}={label(level)}" for factor, level in levels.items())
                raise mistake(f"{combination} doesn't meet constraints: {constraint.require}", "constraints", place)
            return False
    return True


def matches(pattern: Levels, levels: Levels) -> bool:
    """Whether the levels are those of a pattern, which may leave factors out."""
    return all(identity(levels[factor]) == identity(level) for factor, level in pattern.items())


def check_size(design: Design) -> None:
    """Raises UserError: more combinations than anyone can have meant, or than max_runs allows."""
    count = design.size()
    if isinstance(design, SweepDesign) and design.sweep.max_runs is not None:
        if count > design.sweep.max_runs:
            advice = "shorten the lists, or draw some by strategy: random"
            text = f"the grid has {count:,} combinations, more than sweep.max_runs: {design.sweep.max_runs}: {advice}"
            raise mistake(text, "sweep", "max_runs")
    elif count > MOST_COMBINATIONS:
        advice = "state sweep.max_runs if you mean it" if isinstance(design, SweepDesign) else "use fewer factors"
        raise mistake(f"{count:,} combinations, more than {MOST_COMBINATIONS:,}: {advice}", design.kind)


def check_exclude(design: Design) -> None:
    """Raises UserError: exclude names what is not varied, or a level that doesn't occur."""
    lists: dict[str, list[Level]] = {}
    if isinstance(design, SweepDesign):
        lists = {name: levels for name, levels in design.sweep.parameters.items() if isinstance(levels, list)}
    elif isinstance(design, ComparisonDesign):
        block = design.comparison
        lists = block.variables or {design.factors()[0]: list(block.values or [])}
    wrong: list[Mistake] = []
    for place, pattern in enumerate(design.exclude):
        for factor, level in pattern.items():
            text = ""
            if factor not in design.factors():
                text = f"{factor} is not varied here.{nearest(factor, design.factors())}"
            elif factor in lists and identity(level) not in map(identity, lists[factor]):
                text = f"{label(level)} is not a level of {factor}: {', '.join(map(label, lists[factor]))}"
            wrong += [(("exclude", place, factor), f"exclude: {text}")] if text else []
    if wrong:
        raise MistakesInFile(*wrong)


def check_constraints(design: Design) -> None:
    """Raises UserError: what can't be a condition on what is varied."""
    known = short_names(design.factors())
    wrong: list[Mistake] = []
    for place, constraint in enumerate(design.constraints):
        try:
            constraints.check(constraint.require, known)
        except UserError as error:
            wrong.append((("constraints", place, "require"), str(error)))
    if wrong:
        raise MistakesInFile(*wrong)


def check_reference(design: Design, names: list[str]) -> None:
    """Raises UserError: a hypothesis about arms that the design doesn't have."""
    if is_bayesian(design):
        return
    stated_apart = isinstance(design, ComparisonDesign) and design.comparison.versus is not None
    versus = (design.reference, "comparison" if stated_apart else "hypothesis", "versus")
    stated = {"versus": versus, "hypothesis.arm": (design.claimed_arm, "hypothesis", "arm")}
    for key, (name, *keys) in stated.items():
        if name is not None and name not in names:
            known, hint = ", ".join(names[:8]), nearest(name, names)
            raise mistake(f"{key}: {name} is not an arm of the design: {known}.{hint}", *keys)
