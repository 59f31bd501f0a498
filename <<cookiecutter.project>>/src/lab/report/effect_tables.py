"""Factors that are crossed: their effects as a table, and of two that depend on each other each cell's mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab import markdown
from lab.analysis.effects import step
from lab.analysis.estimates import arm_mean
from lab.decimals import decimals
from lab.design.factorial import Term, called, in_order
from lab.design.levels import Level, identity, label, short_names
from lab.design.power import ALPHA
from lab.markdown import plain
from lab.report import sections

if TYPE_CHECKING:
    from lab.analysis.statistics import Estimate
    from lab.analysis.verdict import Verdict
    from lab.study import Study

MOST_PAIRS = 3  # whose cells are shown


def effects(study: Study, verdict: Verdict) -> str:
    """The effects with what they can't be told from, and the cells of interactions; empty of other designs."""
    if not verdict.effects or verdict.metric is None:
        return ""
    crossed = study.design.crossed()
    names, claimed = short_names(list(crossed)), in_order(study.design.claimed_effect, crossed)
    numbers = [e.estimate for e in verdict.effects if e.estimate]
    places = decimals((end for each in numbers for end in (each.value, each.low, each.high)), 3)
    mixed = any(effect.aliases for effect in verdict.effects)
    rows = []
    for effect in verdict.effects:
        by, of_step = effect.estimate, ""
        if len(effect.components) == 1 and by:
            of_step = f" {step(crossed, effect.components[0])}"
        change = sections.estimate(by.value, by.low, by.high, places, "+") if by else "differs between its levels"
        p = effect.p if effect.components == claimed else effect.p_holm
        row = [f"{called(effect.components, names)}{of_step}", change, "" if p is None else sections.chance(p)]
        rows.append([*row, *([", ".join(called(term, names) for term in effect.aliases)] if mixed else [])])
    title = study.metric(verdict.metric).label
    head = ["effect", f"change in {title}", "p", *(["can't be told from"] if mixed else [])]
    parts = [markdown.table(head, rows, texts=(0, 3) if mixed else (0,)), legend(study, verdict, mixed)]
    for pair in told_pairs(verdict, claimed):
        parts += [f"{plain(title)} by {plain(called(pair, names))}:", cells(study, verdict.metric, pair)]
    return "\n\n".join(parts)


def legend(study: Study, verdict: Verdict, mixed: bool) -> str:
    """What the table's numbers are."""
    parts = [
        "Analysis of variance over all runs, with seeds as blocks. A factor's effect is the mean with its second level "
        "minus that with its first; an interaction (×) is the effect of one at the other's second level, minus that at "
        "its first."
    ]
    named = ", but for that of the effect which the hypothesis names: it is as the verdict has it"
    parts.append(f"p is corrected by Holm{named if study.design.claimed_effect else ''}.")
    if mixed:
        parts.append("What an effect can't be told from is taken for nought.")
    return " ".join(parts)


def told_pairs(verdict: Verdict, claimed: Term) -> list[Term]:
    """The interactions whose cells are shown: the only one, the claimed one, and those that are shown to be there."""
    pairs = [effect for effect in verdict.effects if len(effect.components) == 2]
    ranked = sorted(pairs, key=lambda effect: (effect.components != claimed, 1.0 if effect.p is None else effect.p))
    shown = [e for e in ranked if e.components == claimed or (e.p_holm is not None and e.p_holm < ALPHA)]
    return [effect.components for effect in (shown or (pairs if len(pairs) == 1 else []))[:MOST_PAIRS]]


def cells(study: Study, metric: str, pair: Term) -> str:
    """The means over all arms and seeds with each level of one factor and each of another, as a Markdown table."""
    crossed = study.design.crossed()
    names, (down, across) = short_names(list(crossed)), pair
    means = {
        (i, j): mean(study, metric, {down: row, across: column})
        for i, row in enumerate(crossed[down])
        for j, column in enumerate(crossed[across])
    }
    places = decimals((end for each in means.values() if each for end in (each.value, each.low, each.high)), 4)
    head = [names[down], *(f"{names[across]}={label(level)}" for level in crossed[across])]
    rows = [
        [label(row), *(told(means[i, j], places) for j in range(len(crossed[across])))]
        for i, row in enumerate(crossed[down])
    ]
    return markdown.table(head, rows, texts=(0,))


def mean(study: Study, metric: str, levels: dict[str, Level]) -> Estimate | None:
    """The mean of the arms with these levels, with its interval over the seeds; None where there is no run."""
    by_seed: dict[int, list[float]] = {}
    for seed, value in measured(study, metric, levels):
        by_seed.setdefault(seed, []).append(value)
    values = {seed: sum(own) / len(own) for seed, own in by_seed.items()}
    return arm_mean(study, metric, values) if values else None


def measured(study: Study, metric: str, levels: dict[str, Level]) -> Iterator[tuple[int, float]]:
    """Seed and value of each run of the arms with these levels."""
    for arm, replicates in study.arms.items():
        own = replicates[0].levels
        if all(identity(own[factor]) == identity(level) for factor, level in levels.items()):
            yield from study.values(arm, metric).items()


def told(estimate: Estimate | None, places: int) -> str:
    """A cell."""
    return sections.estimate(estimate.value, estimate.low, estimate.high, places) if estimate else ""
