"""The parts of a report's text, each by what it is about. Pure functions of a study and its verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lab import markdown
from lab.analysis.decisions import INVALID, UNDERPOWERED
from lab.analysis.estimates import BOTH, COUNTED, IMAGES, SEEDS, disturbed
from lab.decimals import decimals, written
from lab.design.levels import short_names
from lab.markdown import code, plain
from lab.records import splits
from lab.report import tables

if TYPE_CHECKING:
    from lab.analysis.verdict import Mark, Verdict
    from lab.contract.reports import Fact
    from lab.report.drawn import Drawn
    from lab.report.figures import Picture
    from lab.study import Replicate, Study


def data(study: Study) -> str:
    """The data that the runs saw, by the contract's facts on it; empty before the first result."""
    finished = [replicate for replicate in study.replicates if replicate.finished]
    # Where the models come from other runs, those know what they were trained on.
    own = [replicate for replicate in finished if not study.contract.models_named(replicate.record.params)]
    facts = study.contract.data_facts
    return plain(", ".join(filter(None, (fact_of(study, fact, own if fact.own else finished) for fact in facts))))


def fact_of(study: Study, fact: Fact, replicates: Sequence[Replicate]) -> str:
    """A fact on the data, of the values that the runs have; empty where they have none."""

    def values(key: str | None) -> str:
        texts = (tables.param(replicate, key) for replicate in replicates) if key else ()
        return " and ".join(dict.fromkeys(filter(None, texts)))

    if fact.metric is not None:
        counts = (replicate.value(fact.metric.format(stage=study.stage)) for replicate in replicates)
        value = " and ".join(map(str, sorted({int(count) for count in counts if count})))
    else:
        value, aside = values(fact.key), values(fact.aside)
        value += f" ({aside})" if aside not in ("", value) else ""
    return fact.text.format(value) if value else ""


def looks(study: Study) -> str:
    """How often the test items have been looked at by now; no part of the answer, since other designs may come."""
    names = splits.looks(study)
    if not names:
        return f"No design has looked at these test {study.contract.item}s yet."
    count = f"{len(names)} design{'s have' if len(names) > 1 else ' has'} looked at these test {study.contract.item}s"
    luck = " The more looks there are, the luckier is the best of them." if len(names) > 1 else ""
    return f"{count} so far: {', '.join(map(code, names))}.{luck}"


def question(study: Study) -> Iterator[str]:
    """The hypothesis as the verdict understands it."""
    hypothesis = study.design.hypothesis
    if hypothesis is None:
        return
    better = "less is better" if study.minimized(hypothesis.metric) else "more is better"
    yield f"measured by {named(study, hypothesis.metric)}: {better}"
    arm, way = study.design.claimed_arm, "lower" if hypothesis.direction == "minimize" else "higher"
    if effect := study.design.claimed_effect:
        names = short_names(study.design.factors())
        first, *others = (f"**{plain(names[factor])}**" for factor in effect)
        depends = f", and how it depends on {others[0]}" if others else ""
        claim = "raise" if way == "higher" else "lower"
        yield f"asked is what {first} does over all arms{depends}: it is claimed to {claim} the metric"
    elif study.reference is not None:
        compared = f"{f'**{plain(arm)}**' if arm else 'every arm'} is compared with **{plain(study.reference)}**"
        yield f"{compared}, and claimed to be {way}" if arm else f"{compared}; one or more are claimed to be {way}"
    if hypothesis.min_effect:
        yield f"the smallest difference that counts is {hypothesis.min_effect:g}"
    for rail in hypothesis.guardrails:
        limit = rail.max_increase if rail.max_increase is not None else rail.max_decrease
        way = "rise" if rail.max_increase is not None else "fall"
        asked = "" if rail.strict else " on the mean, whatever chance makes of it (strict: false)"
        yield f"{named(study, rail.metric)} may {way} by {limit:g} at most{asked}"


def expected(study: Study) -> Iterator[str]:
    """What was expected before the runs."""
    hypothesis = study.design.hypothesis
    if hypothesis is None:
        return
    least = hypothesis.direction == "minimize"
    if hypothesis.expected is not None:
        label = plain(study.metric(hypothesis.metric).label)
        yield f"{label}: {hypothesis.expected:g} or {'less' if least else 'more'}"
    if hypothesis.expected_baseline is not None:
        label = plain(study.metric(hypothesis.metric).label)
        yield f"{label} of {plain(study.reference or 'the baseline')}: {hypothesis.expected_baseline:g}"
    if study.reference is not None and hypothesis.min_effect:
        arm, way = plain(study.design.claimed_arm or "at least one arm"), "below" if least else "above"
        yield f"{arm} {way} {plain(study.reference)} by {hypothesis.min_effect:g} or more"
    if hypothesis.because is not None:
        yield f"because: {plain(hypothesis.because)}"


def actual(study: Study, verdict: Verdict) -> Iterator[str]:
    """What the arm in question measured: its main metrics, its speed, and its best epochs."""
    arm = study.design.claimed_arm or verdict.winner or verdict.best
    if arm is None or arm not in study.arms or verdict.metric is None:
        return
    names = dict.fromkeys([verdict.metric, *study.contract.told_metrics(verdict.metric.partition(".")[0])])
    means = {name: tables.mean(study, arm, name) for name in names}
    values = [
        f"{plain(study.metric(name).label)} {estimate(mean.value, mean.low, mean.high)}"
        for name, mean in means.items()
        if mean
    ]
    yield f"**{plain(arm)}**: {', '.join(values) or 'no run has finished'}"
    yield from speed(study, arm, verdict.metric)
    if study.finalists and study.searched_by:
        yield chosen(study, arm, study.searched_by)
    epochs = tables.by_seed(study.arms[arm], study.contract.best_epoch or "")
    if epochs and study.contract.is_recipe(study.design.type):
        listed = ", ".join(f"{epoch:g} (seed {seed})" for seed, epoch in epochs.items())
        yield f"its best epoch: {listed}"
    if verdict.expected:
        yield f"expected was {verdict.expected.value:g}: {reached(verdict.expected)}"
    stated = study.design.hypothesis.expected_baseline if study.design.hypothesis else None
    known = tables.mean(study, study.reference, verdict.metric) if stated is not None and study.reference else None
    if known:
        measured = estimate(known.value, known.low, known.high)
        yield f"{plain(str(study.reference))}: expected was {stated:g}, measured {measured}"
    if verdict.targets:
        yield f"tier: {plain(verdict.tier or 'none of them')}"


def chosen(study: Study, arm: str, metric: str) -> str:
    """What an arm was chosen by, and that this flatters it."""
    value = tables.mean(study, arm, metric)
    measured = estimate(value.value, value.low, value.high) if value else "unknown"
    settings = len({each.arm for each in study.replicates})
    among = f"{len(study.finalists or ())} of {settings} settings went on by it"
    return f"{plain(study.metric(metric).label)} {measured}: {among}, so that it flatters them"


def speed(study: Study, arm: str, metric: str) -> Iterator[str]:
    """How long an arm takes for one answer, and what it gains by that, where the contract has a metric of it."""
    known = study.contract.speed
    latency = study.contract.latency(study.stage)
    if latency is not None:
        unit = study.metric(latency).unit
        means = {name: tables.mean(study, name, latency) for name in dict.fromkeys([arm, study.reference]) if name}
        values = [
            f"{estimate(mean.value, mean.low, mean.high)} {unit}".strip() + f" with {plain(name)}"
            for name, mean in means.items()
            if mean
        ]
        if values and latency != metric:
            yield f"{known.said}: {', '.join(values)}"
        if values and latency not in study.metrics and (busy := disturbed(study, latency)):
            yield busy
    gain = tables.mean(study, arm, known.gain) if known.gain else None
    if gain and study.design.type in known.gain_types:
        yield f"{known.gain_said} is {estimate(gain.value, gain.low, gain.high)}"


def table(study: Study, verdict: Verdict) -> str:
    """The arms as a Markdown table; the best setting of a sweep first."""
    metric = verdict.metric
    frame = tables.table(study, verdict)
    if metric is None or metric not in frame:
        return ""
    if study.design.kind == "sweep":
        frame = frame.sort_values(metric, ascending=study.minimized(metric), kind="stable")
    has_change, change = "change" in frame, "change" if study.reference else "minus expected"
    others = [name for name in tables.beside(study, metric) if name in frame]
    judged = [name for name in ("p", "outcome") if name in frame] if study.design.hypothesis else []
    titles = [study.metric(name).label for name in (metric, *others)]
    head = ["arm", "seeds", titles[0], *([change] if has_change else []), *judged, *titles[1:]]
    rows: list[list[str]] = []
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")

    def places(*columns: str, digits: int = 4) -> int:
        return decimals((row.get(column) for row in records for column in columns), digits)

    of_metric, of_change = places(metric, "low", "high"), places("change", "change_low", "change_high", digits=3)
    beside = {name: places(name, f"{name}_low", f"{name}_high", digits=3) for name in others}
    for row in records:
        arm = f"{row['arm']}{' ★' if row['arm'] == verdict.winner else ''}"
        line = [arm, str(row["seeds"]), estimate(row.get(metric), row.get("low"), row.get("high"), of_metric)]
        if has_change:
            line.append(estimate(row["change"], row.get("change_low"), row.get("change_high"), of_change, "+"))
        line += ["" if row[name] is None else chance(row[name]) if name == "p" else row[name] for name in judged]
        for name, of_name in beside.items():
            line.append(compact(row[name], row.get(f"{name}_low"), row.get(f"{name}_high"), of_name))
        rows.append(line)
    return markdown.table(head, rows, texts=(0,))


def legend(study: Study, verdict: Verdict) -> str:
    """What the table's numbers are."""
    over, item = study.over_seeds, study.contract.item
    beside = verdict.metric is not None and tables.beside(study, verdict.metric)
    compactly = ", or ± half of one (a share's ends at 0 and 1)" if beside else ""
    intervals = f"Means over {over} with their 95 % intervals{compactly}."
    parts = [intervals if over else "One seed: means have no intervals."]
    least = tables.floor(study, verdict) if verdict.metric else 0.0
    if least:
        parts.append(f"A spread over seeds below one test {item} or object (1/{1 / least:.0f}) is taken for as much.")
    bases = {comparison.difference.basis for comparison in verdict.comparisons if comparison.difference.estimate}
    ways = {
        SEEDS: "in pairs over seeds",
        IMAGES: f"in pairs over test {item}s",
        BOTH: f"in pairs over seeds and test {item}s",
        COUNTED: "as it is counted",
    }
    if bases and study.reference:
        by = " or ".join(way for base, way in ways.items() if base in bases)
        parts.append(f"The change is against {plain(study.reference)}, {by}.")
    if growth := study.design.growth:
        parts.append(
            f"Seeds were added one by one, from {growth.first} to {growth.last} at most: changes have the intervals "
            "and p of their look, by group-sequential boundaries that hold at all looks together."
        )
    parts += [holm(verdict)] if study.design.hypothesis else []
    if any(each.claimed and each.outcome == UNDERPOWERED for each in verdict.comparisons):
        few = f"so few seeds or test {item}s"
        parts.append(f"{UNDERPOWERED}: neither shown nor excluded, as was to be expected with {few}.")
    return " ".join(filter(None, parts))


def named(study: Study, metric: str) -> str:
    """A metric by both of its names: `macro F1 (infer.f1_macro)`."""
    return f"{plain(study.metric(metric).label)} ({code(metric)})"


def holm(verdict: Verdict) -> str:
    """Over which arms p is corrected: those of the hypothesis are one family, the others another."""
    if not any(tables.tested(comparison) is not None for comparison in verdict.comparisons):
        return ""
    claimed = [comparison.arm for comparison in verdict.comparisons if comparison.claimed]
    others = len(verdict.comparisons) - len(claimed)
    if len(claimed) > 1:
        return f"p is corrected by Holm over the {len(claimed)} arms."
    alone = f"p of {plain(claimed[0])}, which the hypothesis names, stands alone; that of" if claimed else "p of"
    return f"{alone} the {others} others is corrected by Holm." if others > 1 else ""


def reasons(verdict: Verdict) -> Iterator[str]:
    """Why the verdict is what it is, each arm's with its effect size."""
    effects = {comparison.because: comparison.effect for comparison in verdict.comparisons if comparison.effect}
    for reason in verdict.reasons:
        effect = effects.get(reason)
        size = f"; d = {estimate(effect.value, effect.low, effect.high, sign='+')}" if effect else ""
        yield plain(reason) + size
    if any(reason in effects for reason in verdict.reasons):
        yield (
            "d is Cohen's d_z: the mean difference over the seeds, in standard deviations of the seeds' differences, "
            "with Hedges' correction for few of them"
        )


def shown(picture: Picture | Drawn, folder: str) -> str:
    """A figure with its caption and its data; where it couldn't be drawn, why."""
    if picture.png is None:
        return f"*{plain(picture.caption)}*"
    beside = f"[Data]({folder}/{picture.name}.csv)"
    alt = re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", plain(picture.alt))  # a bracket would end it, or begin another
    return f"![{alt}]({folder}/{picture.name}.png)\n\n{plain(picture.caption)} {beside}"


def checklist(study: Study, verdict: Verdict) -> Iterator[tuple[str, bool]]:
    """What a reader would ask, and whether the records say yes."""
    hypothesis, replicates = study.design.hypothesis, study.replicates
    finished = [replicate.arm for replicate in replicates if replicate.finished]
    reference, seeds = study.reference, len(study.seeds)
    yield "The hypothesis is stated", hypothesis is not None
    before = not verdict.exploratory and all(replicate.stated or replicate.reused for replicate in replicates)
    noted = bool(hypothesis and (hypothesis.expected is not None or hypothesis.min_effect))
    runs = "its own runs" if any(replicate.reused for replicate in replicates) else "its runs"
    yield f"The expected result was noted before {runs}", noted and before
    yield f"The design was committed before {runs}, and not changed since", before
    if reference is not None:
        yield "The reference was measured with every seed", finished.count(reference) == len(study.arms[reference])
    yield "More than one seed", seeds > 1
    yield "All runs have finished", len(finished) == len(replicates)
    known = bool(finished) and study.contract.effective is not None
    yield "Every stage ran with the settings of the plan", known and verdict.outcome != INVALID


def targets(study: Study, verdict: Verdict) -> str:
    """The design's targets as a Markdown table; empty where it has none."""
    if not verdict.targets:
        return ""
    tiers = study.design.tiers()
    metrics = list(dict.fromkeys(metric for tier in tiers.values() for metric in tier))
    head = ["tier", *(study.metric(metric).label for metric in metrics), "reached"]
    rows = []
    for mark in verdict.targets:
        values = [tiers[mark.name].get(metric) for metric in metrics]
        rows.append([mark.name, *("" if value is None else f"{value:g}" for value in values), reached(mark)])
    return markdown.table(head, rows, texts=(0, len(head) - 1))


# Words


def number(value: float) -> str:
    """With four digits."""
    return f"{value:.4g}"


def chance(p: float) -> str:
    """A p value with three decimals; one that would be none."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def estimate(
    value: float | None, low: float | None, high: float | None, places: int | None = None, sign: str = ""
) -> str:
    """`0.903 [0.887, 0.917]`; without ends that read the same, as those of a file's size. `places` are decimals."""
    if value is None:
        return ""
    if places is None:
        places = decimals([value, low, high], 3 if sign else 4)
    ends = [] if low is None or high is None else [written(end, places, sign) for end in (low, high)]
    return written(value, places, sign) + (f" [{', '.join(ends)}]" if len(set(ends)) > 1 else "")


def compact(value: float | None, low: float | None, high: float | None, places: int | None = None) -> str:
    """`0.903 ± 0.015`: what is read at a glance, and leaves room for more columns."""
    if value is None:
        return ""
    if places is None:
        places = decimals([value])
    half = tables.half(value, low, high)
    if half is None:
        return estimate(value, low, high, places)
    return f"{written(value, places)} ± {number(float(f'{half:.2g}'))}"


def reached(mark: Mark) -> str:
    """Whether a value was reached."""
    if not mark.reached:
        return "not reached"
    if mark.sure is None:
        return "reached, but without an interval"
    return "reached" if mark.sure else "reached on the mean, but not by the whole interval"
