"""The checklist before anything is queued. Pure: what git, the records and the environment say comes in as `Inputs`."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lab.design import power, promise, search
from lab.design.blocks import Hypothesis
from lab.design.factorial import called, confused, in_order, laid_out, told_apart
from lab.design.levels import short_names
from lab.design.models import ComparisonDesign, Design, SweepDesign
from lab.design.plan import Plan, model_of
from lab.errors import nearest

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.contract.metrics import Metric
    from lab.design.promise import Foreseen, Spread

SEEDS, ITEMS, COUNTED = "seeds", "images", "counted"  # what can decide, as committed reports call it
DECIDED = {
    ITEMS: "{metric} is decided over test {items}, in pairs: more of them show smaller effects, not more seeds",
    COUNTED: "{metric} is counted: neither seeds nor test {items} change it by chance",
}


@dataclass(frozen=True)
class Check:
    """One line of the checklist: what is asked, whether it holds, what was found.

    Without `blocks` it is a warning. What is `final` nobody can override: a run would fail of it.
    """

    name: str
    ok: bool
    message: str
    blocks: bool = True
    final: bool = False


@dataclass(frozen=True)
class Inputs:
    """What the checklist needs to know of the world.

    Attributes:
        path: the design's file, as it was given.
        contract: what lab.yaml says of metrics and test items.
        task: the project's, for a design that names none.
        git: why runs can't start from the repository as it is (no git, no commit, changes); empty where they can.
        committed: whether the design file is in HEAD as it stands.
        secrets: what is wrong with .env (tracked, or not ignored); empty where nothing is.
        tracking: where runs are shown; empty where that is not configured.
        old_server: what is wrong with the version of the server there; empty where nothing is.
        settings: the arm whose settings the stages would refuse, and why; empty where they take all.
        mismatch: what lab.yaml names and this pipeline has not, where a verdict or a report would be wrong for it.
        untold: the same, where something is only told less well.
        packages: what the stages import and is not installed here; empty where all is.
        here: whether the runs are to be carried out in this environment, so that they would miss it.
        old_dvc: what is wrong with the version of DVC; empty where nothing is.
        resources: why no run could be carried out: it takes more than there is; empty where it could.
        lock: what is wrong with dvc.lock; empty where nothing is.
        remote: why DVC's remote can't be reached from here; empty where that can't be told without asking it.
        data: why the data is not there; empty where it is.
        baseline: the metric's values over the seeds of the design's own reference or, before it has two, of a baseline.
        replicates: whose values these are, in words.
        measured: whether the task has a baseline (a design of kind single) on this commit.
        metrics: the names of those that the code of this commit has measured; empty where it has not run yet.
        basis: what is going to decide: SEEDS, ITEMS (of the test set), or COUNTED where chance has no part in it.
        done: how many of the plan's runs are finished.
        seconds: what a run took in the past on average; None where nobody knows.
        jobs: how many run at a time.
        pairs: how the differences of the design's own arms spread; None before two pairs have run.
        foreseen: of a range of seeds, a true effect, the differences' deviation, min_effect, the number of comparisons
            and the items' variance, how many seeds an arm takes, and in which share of cases it is SUPPORTED.
    """

    path: str
    contract: Contract
    task: str = ""
    git: str = ""
    committed: bool = True
    secrets: str = ""
    tracking: str = ""
    old_server: str = ""
    settings: str = ""
    mismatch: str = ""
    untold: str = ""
    packages: str = ""
    here: bool = True
    old_dvc: str = ""
    resources: str = ""
    lock: str = ""
    remote: str = ""
    data: str = ""
    baseline: Sequence[float] = field(default_factory=list)
    replicates: str = ""
    metrics: Set[str] = frozenset()
    measured: bool = False
    basis: str = SEEDS
    done: int = 0
    seconds: float | None = None
    jobs: int = 1
    pairs: Spread | None = None
    foreseen: Foreseen = lambda *asked: (math.nan, math.nan)


def checks(design: Design, plan: Plan | str, inputs: Inputs) -> list[Check]:
    """The whole list; `plan` is the plan, or the message that says why there is none."""
    return [*question(design, inputs), *runs(design, plan, inputs), *project(inputs), *decision(design, plan, inputs)]


def blocked(checklist: list[Check]) -> bool:
    """Whether something is wrong that keeps the design from being queued."""
    return any(not check.ok and check.blocks for check in checklist)


def question(design: Design, inputs: Inputs) -> Iterator[Check]:
    """Is it said what is asked and expected?"""
    hypothesis = design.hypothesis
    yield Check(
        "hypothesis", hypothesis is not None, hypothesis.claim if hypothesis else "write hypothesis: {claim, metric}"
    )
    expected = hypothesis.expected if hypothesis else None
    metric = f"{hypothesis.metric} {expected:g}" if hypothesis and expected is not None else ""
    stated = expected is not None
    lacks = "write hypothesis.expected: a number to be proved wrong"
    if hypothesis and design.claimed_effect:
        stated, lacks = hypothesis.min_effect > 0, "write hypothesis.min_effect: the effect that is claimed"
        metric = f"an effect of {hypothesis.min_effect:g} or more" if stated else ""
    yield Check("expected result", stated, metric or lacks)
    if hypothesis:
        yield from out_of_bounds(design, hypothesis, inputs.contract)
    if hypothesis and hypothesis.guardrails and design.reference is None and not isinstance(design, ComparisonDesign):
        yield Check("guardrails", False, "write hypothesis.versus: the arm that they are measured against")


def out_of_bounds(design: Design, hypothesis: Hypothesis, contract: Contract) -> Iterator[Check]:
    """The values that are stated and that the metric can't have."""
    metric = contract.metric(hypothesis.metric)
    low, high = ends(metric)
    stated = [("expected", metric, hypothesis.expected), ("expected_baseline", metric, hypothesis.expected_baseline)]
    outside = [(key, of, value) for key, of, value in stated if value is not None and not within(value, of)]
    if not 0 <= hypothesis.min_effect <= high - low:
        outside.append(("min_effect", metric, hypothesis.min_effect))
    outside += [
        (f"targets.{name}", of, value)
        for name, tier in design.tiers().items()
        for key, value in tier.items()
        if not within(value, of := contract.metric(key))
    ]
    for key, of, value in outside:
        low, high = ends(of)
        bounds = f"above {low:g}" if of.high is None else f"below {high:g}"
        if of.low is not None and of.high is not None:
            bounds = f"between {low:g} and {high:g}"
        yield Check(key, False, f"{value:g}, but {of.name} lies {bounds}")


def ends(metric: Metric) -> tuple[float, float]:
    """The smallest and the largest value that a metric can have."""
    return -math.inf if metric.low is None else metric.low, math.inf if metric.high is None else metric.high


def within(value: float, metric: Metric) -> bool:
    """Whether a metric can have a value."""
    low, high = ends(metric)
    return low <= value <= high


def runs(design: Design, plan: Plan | str, inputs: Inputs) -> Iterator[Check]:
    """Does the design unfold into runs, and how many?"""
    if isinstance(plan, str):
        yield Check("runs", False, plan)
        return
    if isinstance(design, SweepDesign):
        shown = ", ".join(f"{name} ({count(design, name)})" for name in design.factors())
        yield Check("ranges", True, shown)
        yield from chosen_by(design, plan, inputs.contract, inputs.task)
    if design.kind != "single" and number_of_arms(plan) == 1:
        yield Check("arms", False, "one alone has nothing to be compared with: kind: single asks so", blocks=False)
    composed = f"all {len(plan.runs)} compose" if plan.runs else "each is composed when it is chosen"
    yield Check("configs", not inputs.settings, inputs.settings or composed, final=True)
    number, text = number_of_arms(plan) * len(design.seeds), extent(design, plan)
    if inputs.done:
        text += f", {inputs.done} of them done"
    if design.budget:
        text += f"; no more than the budget of {design.budget} allows"
    if plan.searched and plan.finalists is None and isinstance(design, SweepDesign):
        finalists = min(design.sweep.finalists, number_of_arms(plan))
        text += f"; then {finalists * len(design.seeds)} or more of arms that go on"
    yield Check("runs", True, text)
    if design.crossed() and plan.runs:
        yield from effects(design, plan)
    if inputs.seconds is None:
        yield Check("duration", True, "unknown: nothing like it has run yet")
    else:
        about = duration((number - inputs.done) * inputs.seconds / inputs.jobs)
        limit = "at most" if design.growth else "about"
        yield Check("duration", True, f"{limit} {about} ({inputs.seconds:.0f} s a run, {inputs.jobs} at a time)")


def extent(design: Design, plan: Plan) -> str:
    """How many runs there are: `6 arms × 3 seeds = 18`."""
    arms = number_of_arms(plan)
    seeds = f"{design.seed_count} {'seed' if design.seed_count == '1' else 'seeds'}"
    first = f"{arms * design.first_seeds} to " if design.growth else ""
    return f"{arms} {'arm' if arms == 1 else 'arms'} × {seeds} = {first}{arms * len(design.seeds)}"


def chosen_by(design: SweepDesign, plan: Plan, contract: Contract, task: str) -> Iterator[Check]:
    """On which part of the data does a sweep choose?"""
    metric, by = design.hypothesis.metric if design.hypothesis else "", search.metrics(design, contract, task)
    if by:
        target = contract.types[design.type]
        named = [name for name in (design.claimed_arm, design.reference) if name]
        best = " and ".join([f"the best {design.sweep.finalists}".removesuffix(" 1"), *named])
        text = f"by {by[0]}, after {plan.searched}; what is answered is {metric or target} of {best}"
        if design.sweep.halving:
            text += f"; of every {design.sweep.halving} settings one goes on, the others are stopped early"
        yield Check("choice", True, text)
    elif why := search.chosen_on_test(design, contract, metric):
        text = f"it chooses by {metric}, on the test split, so that the best looks better than it is; {why}"
        yield Check("choice", False, text, blocks=False)


def effects(design: Design, plan: Plan) -> Iterator[Check]:
    """Which effects the arms tell, and whether the claimed one is among them."""
    found, names = model_of(plan), short_names(list(design.crossed()))
    if not laid_out(found, design.crossed()):
        return  # variables that are tied together: no factorial
    factors = sum(len(term) == 1 for term in found.columns)
    text = f"{factors} of factors and {len(found.columns) - factors} interactions"
    yield Check("effects", True, "; ".join([text, *told_apart(found, names)]))
    if claimed := design.claimed_effect:
        term = in_order(claimed, design.crossed())
        others, undecided = confused(term, found)
        if others:
            listed = ", ".join(called(other, names) for other in others)
            away = "which is taken for nought" if len(others) == 1 else "which are taken for nought"
            way = ": a higher resolution, or no constraints, tells them apart" if undecided else f", {away}"
            text = f"{called(term, names)} can't be told from {listed}{way}"
            yield Check("claimed effect", False, text, blocks=undecided)


def count(design: SweepDesign, name: str) -> str:
    """How many values a parameter has, in words."""
    levels = design.sweep.parameters[name]
    return f"{len(levels)} values" if isinstance(levels, list) else f"{levels.low:g} to {levels.high:g}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def project(inputs: Inputs) -> Iterator[Check]:
    """Are the code, the secrets, the tracking and the data in order?"""
    yield Check("code committed", not inputs.git, inputs.git or "nothing has changed since HEAD")
    yield Check("contract", not inputs.mismatch, inputs.mismatch or "what lab.yaml names is there")
    if inputs.untold:
        yield Check("contract", False, inputs.untold, blocks=False)
    installed = "what the stages import is installed"
    yield Check("packages", not inputs.packages, inputs.packages or installed, blocks=inputs.here)
    if inputs.old_dvc:
        yield Check("dvc", False, inputs.old_dvc)
    if inputs.resources:
        yield Check("resources", False, inputs.resources, final=True)
    if inputs.lock:
        yield Check("dvc.lock", False, inputs.lock)
    written = f"git add {shlex.quote(inputs.path)} and git commit: what is asked is written down before the answer"
    yield Check("design committed", inputs.committed, inputs.path if inputs.committed else written)
    yield Check(".env", not inputs.secrets, inputs.secrets or "not tracked by git, and ignored")
    shown = inputs.old_server or inputs.tracking or "MLFLOW_TRACKING_URI is not set"
    yield Check("tracking", bool(inputs.tracking), shown, blocks=False)
    yield Check("data", not inputs.data, inputs.data or "present")
    if inputs.remote:
        yield Check("remote", False, inputs.remote, blocks=False)


def decision(design: Design, plan: Plan | str, inputs: Inputs) -> Iterator[Check]:
    """Is the baseline known, and can the design tell an effect from noise?"""
    if design.kind == "single":
        yield Check("baseline", True, "this is one")
    elif design.claimed_effect:
        yield Check("baseline", True, "measured by the design: an effect is of all its arms")
    elif design.kind in ("comparison", "ablation"):
        if not isinstance(plan, str):  # without a plan it may be an arm that the design doesn't have
            yield Check("baseline", True, f"measured by the design: {design.reference or plan.runs[0].arm}")
    else:
        yield Check(
            "baseline", inputs.measured, "measured on this commit" if inputs.measured else no_baseline(design, inputs)
        )
    hypothesis = design.hypothesis
    if hypothesis is None:
        return
    for name in (hypothesis.metric, *(rail.metric for rail in hypothesis.guardrails)):
        if inputs.metrics and name not in inputs.metrics:
            yield Check("metric", False, f"no run has measured {name}.{nearest(name, inputs.metrics)}")
    if inputs.basis != SEEDS:
        items = f"{predictions.called}s" if (predictions := inputs.contract.predictions) else "items"
        yield Check("power", True, DECIDED[inputs.basis].format(metric=hypothesis.metric, items=items))
        return
    n = len(design.seeds)
    comparisons = 1 if isinstance(plan, str) else max(1, compared(design, plan) - 1)
    if design.growth is None:
        is_exact = power.smallest_p(n, comparisons) <= power.ALPHA
        yield Check("seeds", is_exact, promise.seeds_message(n, comparisons), blocks=False)
    spread = inputs.pairs or promise.spread_of(inputs)
    if spread is None:
        unknown = "the noise, and the seeds needed, are unknown"
        text = f"no replicates of its reference or of a baseline on this commit: {unknown}"
        yield Check("power", False, text, blocks=False)
    elif design.kind != "single":
        if design.claimed_effect and not isinstance(plan, str):
            order, arms = len(design.claimed_effect), number_of_arms(plan)
            spread = replace(spread, deviation=power.effect_deviation(spread.deviation / math.sqrt(2), arms, order))
        runs = 0 if isinstance(plan, str) else left(plan, inputs)
        time = "" if inputs.seconds is None or not runs else duration(runs * inputs.seconds / inputs.jobs)
        is_enough, text = promise.promise(design, spread, inputs, comparisons, time)
        yield Check("power", is_enough, text, blocks=False)


def no_baseline(design: Design, inputs: Inputs) -> str:
    """What to do about a baseline that is missing."""
    name = inputs.contract.baseline.format(task=design.task or inputs.task)
    folder = inputs.path.rpartition("/")[0] or "."
    return f"not measured on this commit: lab run {folder}/{name}.yaml"


def compared(design: Design, plan: Plan) -> int:
    """How many arms there are, those of a bayesian sweep that are still to be chosen among them."""
    if design.claimed_arm is not None or design.claimed_effect:
        return 2
    if plan.searched and isinstance(design, SweepDesign):
        return len(plan.finalists) if plan.finalists else design.sweep.finalists + (design.reference is not None)
    return number_of_arms(plan)


def number_of_arms(plan: Plan) -> int:
    """How many arms a design has, with those that are still to be chosen."""
    return len({run.arm for run in plan.runs}) + plan.undecided


def left(plan: Plan, inputs: Inputs) -> int:
    """How many runs are still to come, as many as there may be."""
    return number_of_arms(plan) * len(plan.design.seeds) - inputs.done
