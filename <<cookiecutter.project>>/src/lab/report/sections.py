"""The parts of a report's text, each by what it is about. Pure functions of a study and its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lab.analysis.decisions import INVALID, UNDERPOWERED
from lab.analysis.estimates import COUNTED, IMAGES, SEEDS, disturbed
from lab.records.record import FAILED, FINISHED
from lab.records.study import minimized
from lab.report import tables
from lab.report.tables import Shape, shape, title

if TYPE_CHECKING:
    from lab.analysis.verdict import Mark, Verdict
    from lab.records.record import Record
    from lab.records.study import Row, Study
    from lab.report.figures import Picture


def data(study: Study) -> str:
    """The data that the runs saw: its name and kind, its sites, and how many test images; empty before the first result."""
    finished = [row for row in study.rows if row.status == FINISHED]

    def told(rows: Sequence[Row], key: str) -> str:
        return " and ".join(dict.fromkeys(filter(None, (tables.param(row, key) for row in rows))))

    # Where the models come from other runs, those know what they were trained on.
    own = [row for row in finished if not tables.param(row, "infer.model")]
    own = [row for row in own if tables.param(row, "infer.members") in ("", "[]")]
    name, kind = told(finished, "data.name"), told(finished, "data.source.kind")
    train, test = told(own, "data.site"), told(finished, "infer.site")
    counts = sorted({int(count) for row in finished if (count := row.value(f"{study.design.target}.images"))})
    parts = [
        f"{name} ({kind})" if kind not in ("", name) else name,
        f"trained on site {train}" if train else "",
        f"tested on site {test}" if test else "",
        f"{' and '.join(map(str, counts))} test images" if counts else "",
    ]
    return ", ".join(filter(None, parts))


def headline(verdict: Verdict) -> str:
    """The difference that decided, where there is one of them."""
    claimed = [each for each in verdict.comparisons if each.claimed]
    chosen = [each for each in claimed if each.arm == verdict.winner] or claimed
    return str(chosen[0].difference) if len(chosen) == 1 else ""


def question(study: Study) -> Iterator[str]:
    """The hypothesis as the verdict understands it."""
    hypothesis = study.design.hypothesis
    if hypothesis is None:
        return
    better = "less is better" if minimized(study.design, hypothesis.metric) else "more is better"
    yield f"measured by {title(hypothesis.metric)} (`{hypothesis.metric}`): {better}"
    arm, way = study.design.claimed_arm, "lower" if hypothesis.direction == "minimize" else "higher"
    if study.reference is not None:
        compared = f"{f'**{arm}**' if arm else 'every arm'} is compared with **{study.reference}**"
        yield f"{compared}, and claimed to be {way}" if arm else f"{compared}; one or more are claimed to be {way}"
    if hypothesis.min_effect:
        yield f"the smallest difference that counts is {hypothesis.min_effect:g}"
    for rail in hypothesis.guardrails:
        limit = rail.max_increase if rail.max_increase is not None else rail.max_decrease
        way = "rise" if rail.max_increase is not None else "fall"
        yield f"{title(rail.metric)} (`{rail.metric}`) may {way} by {limit:g} at most"


def expected(study: Study) -> Iterator[str]:
    """What was expected before the runs."""
    hypothesis = study.design.hypothesis
    if hypothesis is None:
        return
    least = hypothesis.direction == "minimize"
    if hypothesis.expected is not None:
        yield f"{title(hypothesis.metric)}: {hypothesis.expected:g} or {'less' if least else 'more'}"
    if study.reference is not None and hypothesis.min_effect:
        arm = study.design.claimed_arm or "at least one arm"
        yield f"{arm} {'below' if least else 'above'} {study.reference} by {hypothesis.min_effect:g} or more"


def actual(study: Study, verdict: Verdict) -> Iterator[str]:
    """What the arm in question measured: its main metrics, its speed, and its best epochs."""
    arm = study.design.claimed_arm or verdict.winner or verdict.best
    if arm is None or arm not in study.arms or verdict.metric is None:
        return
    stem = verdict.metric.partition(".")[0]
    names = dict.fromkeys([verdict.metric, *(f"{stem}.{key}" for key in ("f1_macro", "mAP50", "mAP50_95", "accuracy"))])
    said = [(each, tables.mean(study, arm, each)) for each in names]
    values = ", ".join(f"{title(each)} {estimate(found.value, found.low, found.high)}" for each, found in said if found)
    yield f"**{arm}**: {values or 'no run has finished'}"
    yield from speed(study, arm, verdict.metric)
    epochs = tables.by_seed(study.arms[arm], "train.best_epoch")
    if epochs and study.design.type == "train":
        listed = ", ".join(f"{epoch:g} (seed {seed})" for seed, epoch in epochs.items())
        yield f"its best epoch, counted from 0: {listed}"
    if verdict.expected:
        yield f"expected was {verdict.expected.value:g}: {told(verdict.expected)}"
    if verdict.targets:
        yield f"tier: {verdict.tier or 'none of them'}"


def speed(study: Study, arm: str, metric: str) -> Iterator[str]:
    """How long an arm takes for one image, and how much faster a quantized model is than PyTorch."""
    latency = tables.latency(study.design)
    names = {name: tables.mean(study, name, latency) for name in dict.fromkeys([arm, study.reference]) if name}
    told = [f"{estimate(found.value, found.low, found.high)} ms with {name}" for name, found in names.items() if found]
    if told and latency != metric:
        yield f"the median latency of one image: {', '.join(told)}"
    if told and latency not in study.metrics and (busy := disturbed(study, latency)):
        yield busy
    gain = tables.mean(study, arm, "quant_speed.speedup")
    if gain and study.design.type == "quant":
        yield f"its speed-up over PyTorch is {estimate(gain.value, gain.low, gain.high)}"


def table(study: Study, verdict: Verdict) -> str:
    """The arms as a Markdown table; the best setting of a sweep first."""
    metric = verdict.metric
    found = tables.table(study, verdict)
    if metric is None or metric not in found:
        return ""
    if shape(study.design) is Shape.SWEEP:
        found = found.sort_values(metric, ascending=minimized(study.design, metric), kind="stable")
    has_change, change = "change" in found, "change" if study.reference else "minus expected"
    others = [each for each in tables.beside(study, metric) if each in found]
    judged = [each for each in ("p", "outcome") if each in found] if study.design.hypothesis else []
    head = ["arm", "seeds", title(metric), *([change] if has_change else []), *judged, *map(title, others)]
    rows = []
    for row in found.astype(object).where(found.notna(), None).to_dict("records"):
        line = [str(row["arm"]), str(row["seeds"]), estimate(row.get(metric), row.get("low"), row.get("high"))]
        if has_change:
            line.append(estimate(row["change"], row.get("change_low"), row.get("change_high"), "+"))
        line += ["" if row[each] is None else number(row[each]) if each == "p" else row[each] for each in judged]
        rows.append(line + [compact(row[each], row.get(f"{each}_low"), row.get(f"{each}_high")) for each in others])
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in (head, rule, *rows))


def legend(study: Study, verdict: Verdict) -> str:
    """What the table's numbers are."""
    seeds = len(study.design.seeds)
    beside = verdict.metric is not None and tables.beside(study, verdict.metric)
    compactly = ", or ± half of one (a share's ends at 0 and 1)" if beside else ""
    intervals = f"Means over {seeds} seeds with their 95 % intervals{compactly}."
    parts = [intervals if seeds > 1 else "One seed: means have no intervals."]
    least = tables.floor(study, verdict) if verdict.metric else 0.0
    if least:
        parts.append(f"A spread over seeds below one test image or object (1/{1 / least:.0f}) is taken for as much.")
    bases = {each.difference.basis for each in verdict.comparisons if each.difference.estimate}
    ways = {SEEDS: "in pairs over seeds", IMAGES: "in pairs over test images", COUNTED: "as it is counted"}
    if bases and study.reference:
        by = " or ".join(way for base, way in ways.items() if base in bases)
        parts.append(f"The change is against {study.reference}, {by}.")
    parts += [holm(verdict)] if study.design.hypothesis else []
    if any(each.outcome == UNDERPOWERED for each in verdict.comparisons):
        parts.append(
            f"{UNDERPOWERED}: neither shown nor excluded, as was to be expected with so few seeds or test images."
        )
    return " ".join(filter(None, parts))


def holm(verdict: Verdict) -> str:
    """Over which arms p is corrected: those of the hypothesis are one family, the others another."""
    if not any(tables.tested(each) is not None for each in verdict.comparisons):
        return ""
    claimed = [each.arm for each in verdict.comparisons if each.claimed]
    others = len(verdict.comparisons) - len(claimed)
    if len(claimed) > 1:
        return f"p is corrected by Holm over the {len(claimed)} arms."
    alone = f"p of {claimed[0]}, which the hypothesis names, stands alone; that of" if claimed else "p of"
    return f"{alone} the {others} others is corrected by Holm." if others > 1 else ""


def reasons(verdict: Verdict) -> Iterator[str]:
    """Why the verdict is what it is, each arm's with its effect size."""
    effects = {each.because: each.effect for each in verdict.comparisons if each.effect}
    for reason in verdict.reasons:
        effect = effects.get(reason)
        yield f"{reason}; d = {estimate(effect.value, effect.low, effect.high, '+')}" if effect else reason
    if any(reason in effects for reason in verdict.reasons):
        yield (
            "d is Cohen's d_z: the mean difference over the seeds, in standard deviations of the seeds' differences, with "
            "Hedges' correction for few of them"
        )


def shown(picture: Picture, place: str) -> str:
    """A figure with its caption and its data; where it couldn't be drawn, why."""
    if picture.png is None:
        return f"*{picture.caption}*"
    return f"![{picture.name}]({place}/{picture.name}.png)\n\n{picture.caption} [Data]({place}/{picture.name}.csv)"


def checklist(study: Study, verdict: Verdict) -> Iterator[tuple[str, bool]]:
    """What a reader would ask, and whether the records say yes."""
    hypothesis, finished = study.design.hypothesis, [row.arm for row in study.rows if row.status == FINISHED]
    reference, seeds = study.reference, len(study.design.seeds)
    yield "The hypothesis is stated", hypothesis is not None
    before = not verdict.exploratory and all(row.stated or row.reused for row in study.rows)
    noted = bool(hypothesis and (hypothesis.expected is not None or hypothesis.min_effect))
    runs = "its own runs" if any(row.reused for row in study.rows) else "its runs"
    yield f"The expected result was noted before {runs}", noted and before
    yield f"The design was committed before {runs}, and not changed since", before
    if reference is not None:
        yield "The reference was measured with every seed", finished.count(reference) == seeds
    yield "More than one seed", seeds > 1
    yield "All runs have finished", len(finished) == len(study.rows)
    yield "Every stage ran with the settings of the plan", bool(finished) and verdict.outcome != INVALID


def failures(study: Study) -> str:
    """The runs that failed, and why; empty where none is known."""
    failed = [row for row in study.rows if row.record and row.status == FAILED]
    if not failed:
        return "" if unfinished(study) else "None."
    lines = [f"| {cell(row.arm)} | {row.seed} | {cell(row.record.reason)} |" for row in failed if row.record]
    return "\n".join(["| arm | seed | reason |", "| --- | ---: | --- |", *lines])


def unfinished(study: Study) -> int:
    """How many runs have no result."""
    return sum(row.status != FINISHED for row in study.rows)


def unknown(study: Study) -> str:
    """Where no failure is known, and yet runs are missing."""
    return f"None that this machine knows of; {unfinished(study)} of {len(study.rows)} runs have no result."


def provenance(study: Study) -> Iterator[tuple[str, str]]:
    """Commits and hashes, versions, hardware, duration and cost."""
    found = study.finished
    yield "baseline", f"`{study.commit}`"
    data = dict.fromkeys(str(md5) for record in found if (md5 := record.outputs.get("data/prepared", {}).get("md5")))
    if data:
        yield "prepared data", ", ".join(f"`{md5}`" for md5 in data)
    stages = ran(found)
    machines = [stage["machine"] for stage in stages if stage.get("machine")]
    unused = "timm" if study.design.task == "detection" else "ultralytics" if study.design.task else None
    hardware = dict.fromkeys(hardware_of(machine) for machine in machines)
    if hardware:
        yield "hardware", "; ".join(hardware)
    versions = dict.fromkeys(versions_of(machine, unused) for machine in machines)
    if versions:
        yield "versions", "; ".join(versions)
    times = [(record.started, record.ended) for record in found]
    starts, ends = ([time for time in side if time] for side in zip(*times, strict=True)) if times else ([], [])
    if starts and ends:
        yield "time", f"{min(starts):%Y-%m-%d %H:%M} to {max(ends):%Y-%m-%d %H:%M} UTC"
    if stages:
        yield "cost", cost(stages)


def ran(found: Iterable[Record]) -> list[dict[str, Any]]:
    """What the stages noted, each once: a training that several runs share was run once."""
    notes = [stage for record in found for stage in record.effective.values()]
    return [
        *{(note["stage"], note["started"], str(note.get("machine", {}).get("host"))): note for note in notes}.values()
    ]


def hardware_of(machine: dict[str, Any]) -> str:
    """`Intel Xeon, 2 cores, 1 NVIDIA H100`."""
    gpus = machine.get("gpus") or []
    parts = [str(machine.get("cpu") or "unknown CPU"), f"{machine.get('cores', '?')} cores"]
    return ", ".join(parts + [f"{gpus.count(gpu)} × {gpu}" for gpu in dict.fromkeys(gpus)])


def versions_of(machine: dict[str, Any], unused: str | None = None) -> str:
    """`Python 3.11.7, torch 2.15.0, …`, without a package of the other task's."""
    names = {"Python": machine.get("python"), **(machine.get("versions") or {})}
    return ", ".join(f"{each} {version}" for each, version in names.items() if version and each != unused)


def cost(stages: Sequence[dict[str, Any]]) -> str:
    """The hours that machines were busy: those with a GPU, and the others."""
    with_gpu = sum(note["seconds"] for note in stages if (note.get("machine") or {}).get("gpus"))
    without = sum(note["seconds"] for note in stages) - with_gpu
    return f"{with_gpu / 3600:.2f} GPU hours, {without / 3600:.2f} hours on machines without"


def run_line(row: Row, metric: str | None) -> list[str]:
    """A run in the list of all. Whether it failed is not told: git does not know."""
    value = row.value(metric) if metric else None
    record = row.record if row.status == FINISHED else None
    told_name = f"{record.name}{' (reused)' if row.reused else ''}" if record else "not finished"
    return [
        row.arm,
        str(row.seed),
        "" if value is None else number(value),
        told_name,
        record.commit[:12] if record else "",
    ]


# Words


def number(value: float) -> str:
    """With four digits."""
    return f"{value:.4g}"


def estimate(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """`0.903 [0.887, 0.917]`; without ends that read the same, as those of a file's size."""
    if value is None:
        return ""
    ends = [] if low is None or high is None else [f"{end:{sign}.{3 if sign else 4}g}" for end in (low, high)]
    return f"{value:{sign}.{3 if sign else 4}g}" + (f" [{', '.join(ends)}]" if len(set(ends)) > 1 else "")


def compact(value: float | None, low: float | None, high: float | None) -> str:
    """`0.903 ± 0.015`: what is read at a glance, and leaves room for more columns."""
    if value is None:
        return ""
    half = tables.half(value, low, high)
    return estimate(value, low, high) if half is None else f"{number(value)} ± {number(float(f'{half:.2g}'))}"


def told(mark: Mark) -> str:
    """Whether a value was reached."""
    if not mark.reached:
        return "not reached"
    if mark.sure is None:
        return "reached, but without an interval"
    return "reached" if mark.sure else "reached on the mean, but not by the whole interval"


def ended(text: str) -> str:
    """With a full stop."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def cell(text: object) -> str:
    """A text that does not end a table's cell."""
    return " ".join(str(text).split()).replace("|", "\\|")
