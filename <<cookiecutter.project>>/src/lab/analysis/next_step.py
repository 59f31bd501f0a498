"""What to do next, by what a verdict says: the command to type, and about how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis import folds, growth, looks
from lab.analysis.budget import used_up
from lab.analysis.decisions import EQUIVALENT, INVALID, REFUTED, SUPPORTED
from lab.analysis.estimates import BOTH, IMAGES
from lab.design import power

if TYPE_CHECKING:
    from lab.analysis.comparisons import Comparison
    from lab.analysis.verdict import Verdict
    from lab.study import Study

FEW = 5  # seeds that are enough for most questions, where nothing says how many


@dataclass(frozen=True)
class Step:
    """What to do, the command to type for it, and how long that takes."""

    text: str
    command: str = ""
    time: str = ""


def next_step(study: Study, verdict: Verdict, comparison: Comparison | None) -> Step:
    """The one step that a verdict leads to."""
    design, path = study.design, study.path
    run = f"lab run {path}"
    failed = [each for each in study.replicates if each.is_over and not each.finished]
    coming = [each for each in study.replicates if not each.is_over]
    if verdict.outcome == INVALID:
        return Step("mend what the stages did otherwise than planned, commit it, and run the design again", run)
    if used_up(study):
        text = "allow for the runs that are left by a larger budget in the design, which is no part of the question"
        return Step(text, run)
    if coming:
        return Step("let the other runs come to their end", run, lasts(study, len(coming)))
    if failed and verdict.outcome not in (SUPPORTED, REFUTED, EQUIVALENT):
        text = f"{len(failed)} runs have failed: mend the cause, and run them again"
        return Step(text, f"{run} --failed", lasts(study, len(failed)))
    if verdict.exploratory:
        return more_seeds(
            study,
            [*range(max(design.seeds) + 1, max(design.seeds) + 1 + max(2, len(design.seeds)))],
            "confirm it with fresh seeds",
        )
    if verdict.outcome == SUPPORTED and verdict.winner:
        return Step("make it the champion", f"lab promote {design.name}")
    if verdict.outcome in (SUPPORTED, REFUTED, EQUIVALENT):
        what = (
            "keep whichever costs less, and ask the next question"
            if verdict.outcome == EQUIVALENT
            else "ask the next question"
        )
        return Step(f"{what}, in a copy of the design", f"lab new --from {design.name}")
    if any(each.difference.mixed for each in verdict.comparisons):
        text = "no number of seeds tells it by these arms: take a higher resolution, or fewer constraints, in a copy"
        return Step(text, f"lab new --from {design.name}")
    if comparison is None and len(study.arms) > 1:
        return more_seeds(study, fresh(study, max(FEW, len(design.seeds))), "tell the best arms apart with fresh seeds")
    if comparison is None:
        return Step("ask the next question, in a copy of the design", f"lab new --from {design.name}")
    return decide(study, comparison)


def decide(study: Study, comparison: Comparison) -> Step:
    """How an open question comes to a decision: by how many more seeds, or test items."""
    design, between = study.design, comparison.difference
    estimate, hypothesis = between.estimate, study.design.hypothesis
    assert estimate is not None
    margin = hypothesis.min_effect if hypothesis else 0.0
    alone = design.claimed_arm is not None or bool(between.effect)
    family = 1 if alone else len(study.arms) - 1
    if between.basis == IMAGES:
        return Step(f"take more test {study.contract.item}s: more seeds of the same models don't tell")
    if design.growth and (step := beyond_growth(study, comparison, family)):
        return step
    there = len(design.seeds)
    spread = between.seeds.deviation if between.seeds else None
    shared = between.shared if between.basis == BOTH else 0.0
    known, aim = bool(margin and spread), min(2 * margin, study.metric(between.metric).span)
    needed = power.supporting_seeds(aim, margin, spread or 0.0, max(1, family), shared) if known else FEW
    if needed is None:
        items = f" with these test {study.contract.item}s" if shared else ""
        return Step(
            f"no {power.MOST_SEEDS} seeds{items} show an effect of {aim:g} at this spread: claim a larger one, "
            "or make the runs more alike",
            f"lab new --from {design.name}",
        )
    more = max(1, needed - there)
    text = f"{more} more seeds tell more"
    if known:
        text = f"{more} more seeds are expected to decide it, if the effect is {aim:g} and not just {margin:g}"
    return more_seeds(study, fresh(study, more), text)


def beyond_growth(study: Study, comparison: Comparison, family: int) -> Step | None:
    """What to do where seeds were added as far as it takes, and left the question open; None where all were used up."""
    look = looks.at(study, comparison.arm)
    if look is None or look.now == look.last or not growth.stopped(study, comparison, max(1, family)):
        return None
    return Step(
        f"more seeds have little hope of showing the claim as it reads: claim a smaller effect, from {look.now} seeds "
        "on, or ask the next question",
        f"lab new --from {study.design.name}",
    )


def fresh(study: Study, count: int) -> list[int]:
    """The design's seeds, and so many more."""
    seeds = list(study.design.seeds)
    return [*seeds, *range(max(seeds) + 1, max(seeds) + 1 + count)]


def more_seeds(study: Study, seeds: list[int], text: str) -> Step:
    """A copy of the design with these seeds. A design that is changed after its runs would be exploratory.

    Of a cross-validation there are no more seeds than parts.
    """
    left = folds.untested(study)
    if left == []:
        return Step(
            f"its {len(study.seeds)} seeds are all parts of the cross-validation, and there are no more: cut the items "
            "into more parts, or anew, in a copy",
            f"lab new --from {study.design.name}",
        )
    if left is not None and not {*seeds} <= {*study.design.seeds, *left}:
        again = {*seeds} & {*study.design.seeds}
        seeds, text = sorted({*again, *left}), f"the cross-validation has {len(left)} more parts, which tell more"
    path = beside(study.path, f"{len(seeds)}_seeds")
    count = len({*seeds} - {*study.design.seeds}) * len(study.searched)
    listed = ", ".join(map(str, seeds)) if len(seeds) <= 12 else f"{seeds[0]}, …, {seeds[-1]}"
    stated = f"{{from: {asked.first}, to: {len(seeds)}}}" if (asked := study.design.growth) else f"[{listed}]"
    what = f"{text}: copy the design to {path} with seeds: {stated}, commit it, then"
    return Step(what, f"lab run {path}", lasts(study, count))


def beside(path: str, ending: str) -> str:
    """A file next to the design's."""
    return f"{path.removesuffix('.yaml')}_{ending}.yaml"


def lasts(study: Study, runs: int) -> str:
    """`, about 12 min`, one run after the other, by how long those that have finished took; empty before.

    What stages share is counted once.
    """
    took = {
        (stage, note.get("started")): note["seconds"]
        for record in study.finished
        for stage, note in record.effective.items()
        if note.get("seconds")
    }
    if not took or not runs:
        return ""
    seconds = sum(took.values()) / len(study.finished) * runs
    if seconds < 90:
        return f", about {max(1, round(seconds))} s"
    return f", about {round(seconds / 60)} min" if seconds < 7200 else f", about {seconds / 3600:.1f} h"
