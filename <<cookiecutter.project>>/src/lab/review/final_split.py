"""The third split of the data, where there is one (`final` of lab.yaml): opened here and nowhere else, for a run that
has won against the champion on the test split.

Both arms' models are measured on it, each by its run's code, and its settings but for those of the contract, in a
folder of its own. It decides by the same gate. No record, report or figure has what comes out: the ledger does, with
how often these items had been looked at before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml

from lab import yaml12
from lab.analysis.gate import challenge
from lab.design.pipeline import overlap
from lab.errors import UserError
from lab.nested_keys import copied, flat, put
from lab.records import ledger, per_item
from lab.records.commit import PARAMS
from lab.records.git_record import GitRecord
from lab.review import clone, rerun
from lab.review.gate import lost

if TYPE_CHECKING:
    from pathlib import Path

    from lab.analysis.verdict import Verdict
    from lab.records.champion import Champion
    from lab.review.gate import Examined
    from lab.study import Replicate, Study

KEY = "LAB_FINAL"  # in the environment of a stage that may measure on it


@dataclass(frozen=True)
class Measured(GitRecord):
    """A run as it did on the final split: what its stage measured and said of these items."""

    on_final: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)
    said: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """By the names of the files."""
        return self.on_final

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """md5 of each output, by path."""
        return self.said


def items(study: Study, judged: Verdict, candidate: Replicate) -> int:
    """How many items the final split has that would decide; 0 where there are none, or they tell nothing."""
    final = study.contract.final
    return int(candidate.record.value(final.items) or 0) if final and is_of_items(study, judged) else 0


def is_of_items(study: Study, judged: Verdict) -> bool:
    """Whether the metric that decides is measured on test items."""
    metric = study.metric(judged.metric or "")
    return metric.split == "test" or bool(metric.counted_over)


def lacking(study: Study, judged: Verdict) -> str:
    """Why there is no final split to open."""
    final = study.contract.final
    if final is None:
        return "lab.yaml names no other (final)"
    if not is_of_items(study, judged):
        return f"{judged.metric} is not measured on {study.contract.item}s"
    return f"the data keeps no other ({', '.join(final.drawn_by) or final.items} is 0)"


def decided(
    study: Study,
    judged: Verdict,
    champion: Champion,
    examined: Examined,
    count: int,
    tell: Callable[[str], None],
) -> Examined:
    """What the gate says of a run that has won on the test split, once the final one has been opened.

    Args:
        study: the run's.
        judged: the verdict on it.
        champion: whom it is held against.
        examined: what the gate says by the test split.
        count: how many items the final split has.
        tell: is told what it costs before, and each run as it begins.

    Raises:
        UserError: a model or the final split is not here, or a run did not come to its end.
    """
    fought, entries = examined.fought, ledger.read(study.project)
    pairs = {each.seed: (each.record, fought.champions[each.seed]) for each in fought.candidates}
    data = fought.candidates[0].record.data
    tests = {(each.digest, each.arm, each.against) for each in entries if each.final and each.final.data == data}
    looks = len(tests - {(study.digest, fought.candidates[0].arm, champion.experiment)})
    tell(opening(study, count, looks, [run for pair in pairs.values() for run in pair]))
    measured = {seed: tuple(measure(study, run, tell) for run in pair) for seed, pair in pairs.items()}
    ours = [replace(each, record=measured[each.seed][0]) for each in fought.candidates]
    theirs = {seed: pair[1] for seed, pair in measured.items()}
    duel = challenge(study, judged, ours, theirs, fought.level or 0.0, per_item.read)
    against = [*lost(study, champion, duel, fought, f" on the {count} {study.contract.item}s of the final split")]
    tell(f"on the final split: {'; '.join(duel.verdict.reasons)}")
    metric = judged.metric or ""
    opened = ledger.Opened(
        items=count,
        data=data,
        looks=looks,
        metric=metric,
        arm=values(metric, {each.seed: each.record for each in ours}),
        champion=values(metric, theirs),
        p=None if duel.p is None else float(f"{duel.p:.6g}"),
        test_p=examined.entry.p,
    )
    p = max((each for each in (opened.p, opened.test_p) if each is not None), default=None)
    entry = examined.entry.model_copy(update={"p": p, "final": opened})
    return replace(examined, objections=against, entry=entry)


def opening(study: Study, count: int, looks: int, runs: Sequence[GitRecord]) -> str:
    """What it will cost, and how fresh it is."""
    stage, before = study.stage, f"looked at by {looks or 'no'} test{'s' * (looks != 1)} before"
    took = [run.seconds[stage] for run in runs if stage in run.seconds]
    each = f"{max(1, round(sum(took) / len(took)))} s" if took else ""
    cost = f": each about as long as on the test split ({each}), and the start of a process" if took else ""
    return (
        f"won on the test split: the final one is opened, {count} {study.contract.item}s, {before}. "
        f"{len(runs)} models are measured on it by the stage {stage}{cost}"
    )


def values(metric: str, runs: Mapping[int, GitRecord]) -> dict[int, float]:
    """A metric by seed."""
    found = {seed: run.value(metric) for seed, run in sorted(runs.items())}
    return {seed: value for seed, value in found.items() if value is not None}


def measure(study: Study, record: GitRecord, tell: Callable[[str], None]) -> Measured:
    """A run's model on the final split. Raises UserError."""
    final, stage = study.contract.final, study.stage
    assert final is not None
    params = copied(record.params)
    for key, value in final.settings.items():
        put(params, key, value)
    tell(f"  {record.name}")
    with clone.of(study.project, record.commit) as root:
        text = yaml.dump(params, Dumper=yaml12.Dumper, sort_keys=False, allow_unicode=True)
        (root / PARAMS).write_text(text, encoding="utf-8")
        lay_out(study, root, record, record.content.pipeline.deps(stage, params))
        rerun.dvc(root, record, "repro", "--single-item", stage, variables={KEY: "1"})
        again = rerun.outcome(study, root, record)
    return Measured(
        **{name: getattr(record, name) for name in ("project", "name", "commit", "baseline", "status", "pending")},
        on_final=merged(study, record, again.metrics),
        said={path: {"md5": md5} for path, md5 in again.outputs.items()},
    )


def lay_out(study: Study, root: Path, record: GitRecord, needs: Sequence[str]) -> None:
    """Link what a stage needs of others, from DVC's cache or its remote. Raises UserError: it is in neither."""
    store = study.project.store
    made = {path: out["md5"] for path, out in record.outputs.items() if any(overlap(path, need) for need in needs)}
    made = {path: md5 for path, md5 in made.items() if not (root / path).exists()}  # the rest is git's
    if absent := {md5 for md5 in made.values() if not store.has(md5)}:
        store.fetch(absent)
    for path, md5 in made.items():
        if not store.has(md5):
            raise UserError(
                f"{path} of {record.name} is neither in DVC's cache nor on its remote: where the run was carried out, "
                "dvc exp push sends it; else lab run --again makes it anew"
            )
        for name, file in store.files(md5).items():
            place = root / path / name if name else root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, place)
            except OSError:  # another file system
                shutil.copyfile(file, place)


def merged(study: Study, record: GitRecord, measured: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A run's metrics with those of the final split; times stay those of the run, which others' were taken beside."""

    def again(file: str, before: dict[str, Any]) -> dict[str, Any]:
        start = f"{file}."
        now = {key.removeprefix(start): value for key, value in measured.items() if key.startswith(start)}
        times = {key: value for key, value in flat(before).items() if rerun.is_timing(study, start + key)}
        return now | times

    return {file: again(file, before) for file, before in record.metrics.items()}
