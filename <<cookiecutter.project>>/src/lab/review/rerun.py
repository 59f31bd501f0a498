"""Runs carried out again, to see whether they come out as their records say: what git alone can't tell.

Each starts from its baseline's code, with the settings that the design gives it there, in a folder of its own, and
takes nothing from DVC's run cache. On the same kind of machine, with the same packages, a CPU gives the same bits;
elsewhere, and on GPUs, metrics may be off by the tolerance that is asked for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lab import yaml12
from lab.errors import UserError
from lab.nested_keys import flat
from lab.records import studies
from lab.records.commit import LOCK, PARAMS
from lab.review import clone

if TYPE_CHECKING:
    from lab.records.git_record import GitRecord
    from lab.study import Study

TAIL = 15  # lines of a failed run that are told
OWN = ("host", "load")  # what two machines of the same kind differ in, as their stages note it


@dataclass(frozen=True)
class Again:
    """What a run came to this time: by full name its metrics, by path its outputs' hashes, by stage its machine."""

    metrics: dict[str, Any]
    outputs: dict[str, str | None]
    machines: dict[str, Any]


def drawn(study: Study, count: int) -> list[GitRecord]:
    """So many of the design's finished runs, by lot. Raises UserError where none can be repeated."""
    git, head = study.project.git, study.project.head
    finished = {record.commit: record for record in study.finished if record.commit != record.baseline}
    if not finished:
        raise UserError(f"no experiment of {study.design.name} is here, so that there is none to repeat")
    for record in finished.values():
        if head is None or not git.is_ancestor(record.baseline, head):
            raise UserError(
                f"{record.name} started from {record.baseline[:7]}, which is not in the history of what is checked "
                f"out: its code would be run here. Where you trust it: git switch --detach {record.baseline[:7]}"
            )
    return random.SystemRandom().sample([*finished.values()], min(count, len(finished)))


def repeat(study: Study, record: GitRecord) -> Again:
    """Carry a run out again. Raises UserError where that does not come to its end."""
    params = settings(study, record)
    with clone.of(study.project, record.baseline) as root:
        text = yaml.dump(params, Dumper=yaml12.Dumper, sort_keys=False, allow_unicode=True)
        (root / PARAMS).write_text(text, encoding="utf-8")
        if tracked := [str(path.relative_to(root)) for path in root.rglob("*.dvc") if path.is_file()]:
            dvc(root, record, "pull", *tracked, check=False)  # what is missing then, a stage tells
        dvc(root, record, "repro", "--force", "--no-run-cache", record.stage)
        return outcome(study, root, record)


def settings(study: Study, record: GitRecord) -> dict[str, Any]:
    """The params that the design gives a run; of another design's, which is the same run, the run's own."""
    planned = studies.planned(study)
    for replicate in study.replicates:
        if replicate.record is not None and replicate.record.commit == record.commit:
            return planned.get((replicate.arm, replicate.seed)) or record.params
    return record.params


def dvc(
    root: Path, record: GitRecord, *arguments: str, check: bool = True, variables: dict[str, str] | None = None
) -> None:
    """A DVC command as experiments are run by. Raises UserError with the last lines that it printed."""
    named = {"DVC_ROOT": str(root), "DVC_EXP_BASELINE_REV": record.baseline, "DVC_EXP_NAME": record.name}
    done = clone.python(root, "-m", "dvc", *arguments, **named, **(variables or {}))
    if check and done.returncode:
        told = "\n".join(done.stdout.strip().splitlines()[-TAIL:])
        raise UserError(f"{record.name} did not come to its end again:\n{told}")


def outcome(study: Study, root: Path, record: GitRecord) -> Again:
    """What lies in the clone now."""
    outputs = {
        out["path"]: out.get("md5")
        for stage in record.content.pipeline.chain(record.stage)
        for out in yaml12.mapping((root / LOCK).read_text(encoding="utf-8"))["stages"][stage].get("outs", [])
    }
    files = record.content.pipeline.metrics_files(study.contract, record.params)
    metrics = {
        f"{name}.{key}": value
        for path, name in files.items()
        if path in outputs
        for key, value in flat(yaml12.mapping((root / path).read_text(encoding="utf-8"))).items()
    }
    machines = {}
    for stage in record.effective:
        path = study.contract.effective_path(stage)
        note = yaml12.load((root / path).read_text(encoding="utf-8")) if path and (root / path).is_file() else None
        first = note[0] if isinstance(note, list) and note else note
        machines[stage] = first.get("machine") if isinstance(first, dict) else None
    return Again(metrics, outputs, machines)


def compared(study: Study, record: GitRecord, again: Again, tolerance: float) -> Iterator[tuple[str, bool]]:
    """A line for what both have, and whether it is the same: times and machines are not looked at.

    `tolerance`: how far a metric may be off on another kind of machine, as a part of the larger of both.
    """
    alike = is_same_machine(record, again)
    if alike:
        yield "on the same kind of machine: expected bit for bit", True
    else:
        yield f"on another kind of machine, or one that is not known: expected within {tolerance:.2%}", True
    said = {f"{name}.{key}": value for name, part in record.metrics.items() for key, value in flat(part).items()}
    names = [name for name in sorted(said.keys() & again.metrics.keys()) if not is_timing(study, name)]
    off = [name for name in names if not is_alike(said[name], again.metrics[name], 0 if alike else tolerance)]
    yield f"{len(names) - len(off)} of {len(names)} metrics are the same", not off
    for name in off:
        yield f"{name}: recorded {said[name]}, again {again.metrics[name]}", False
    for name in sorted(name for name in said.keys() ^ again.metrics.keys() if not is_timing(study, name)):
        yield f"{name}: {'recorded' if name in said else 'found'} only {'then' if name in said else 'now'}", False
    for distinct in study.contract.distinct.values() if alike else ():
        then, now = record.outputs.get(distinct.output, {}).get("md5"), again.outputs.get(distinct.output)
        if then and now:
            yield f"{distinct.output}: {'the same' if then == now else f'recorded {then}, again {now}'}", then == now


def is_same_machine(record: GitRecord, again: Again) -> bool:
    """Whether each stage ran on the same hardware with the same packages, as far as the stages note it."""

    def kind(machine: Any) -> Any:
        return {key: value for key, value in machine.items() if key not in OWN} if isinstance(machine, dict) else None

    notes = {stage: kind(note.get("machine")) for stage, note in record.effective.items()}
    return bool(notes) and all(note and note == kind(again.machines.get(stage)) for stage, note in notes.items())


def is_alike(then: Any, now: Any, tolerance: float) -> bool:
    """Whether a value has come out again."""
    both = [isinstance(value, int | float) and not isinstance(value, bool) for value in (then, now)]
    return math.isclose(then, now, rel_tol=tolerance, abs_tol=0) if all(both) and tolerance else then == now


def is_timing(study: Study, name: str) -> bool:
    """Whether a metric is a time, or is measured beside one in the same file: how busy the machine was."""
    files = {key.partition(".")[0] for key in study.contract.speed.latency.values()}
    return bool(study.metric(name).timing) or name.partition(".")[0] in files
