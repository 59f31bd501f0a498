"""Whether a run's commit agrees with itself and with its plan, as far as git tells; and what git tells beside it.

dvc.lock has a hash of all that a stage has read and written, so that whoever changes one of them has to change the
others. Whether a run has been carried out at all is nothing that git could know: `lab review --rerun` repeats some.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.nested_keys import flat
from lab.records import per_item, report_files, studies
from lab.records.commit import LOCK, PARAMS
from lab.records.git_record import GitRecord
from lab.study import FINISHED

if TYPE_CHECKING:
    from lab.git import Repository
    from lab.records.commit import Commit
    from lab.study import Study

CLOCKS = timedelta(minutes=10)  # what two machines' clocks may be apart
ALIKE = 1e-6  # between a metric and the same made again of the items' table, as a part of the larger one


def disagreements(record: GitRecord) -> Iterator[str]:
    """Where a run's dvc.lock and its commit differ: files that it has read or written, and that git has."""
    content = record.content
    for stage in content.pipeline.chain(record.stage):
        if stage not in content.stages:
            yield f"{record.name}: by its {LOCK} the stage {stage} has not run with its settings and its inputs"
    for stage, entry in content.stages.items():
        for dep in entry.get("deps", []):
            if wrong(content, dep, is_folder=False):
                yield (
                    f"{record.name}: by its {LOCK} the stage {stage} has read another {dep['path']} than its commit has"
                )
        for out in entry.get("outs", []):
            if wrong(content, out, is_folder=True):
                yield f"{out['path']} of {record.name} is not what its {LOCK} says{numbers(content, out)}"


def mistimed(record: GitRecord) -> Iterator[str]:
    """Stages that ended after their run's commit was made, or before the last of their own epochs."""
    made = datetime.fromtimestamp(record.project.git.time(record.commit), UTC)
    for stage, seconds in record.seconds.items():
        note = record.effective[stage]
        ended = datetime.fromisoformat(note["started"]).astimezone(UTC) + timedelta(seconds=seconds)
        epochs = (note.get("used") or {}).get("epochs") or []
        last = max((datetime.fromisoformat(row["ended"]).astimezone(UTC) for row in epochs), default=ended)
        if ended > made + CLOCKS or last > ended + CLOCKS:
            than = (
                f"its commit was made at {made:%F %T}"
                if ended > made + CLOCKS
                else f"its last epoch did at {last:%F %T}"
            )
            yield f"{record.name}: its stage {stage} ended at {ended:%F %T} UTC by its own note, and {than}"


def wrong(content: Commit, entry: dict[str, Any], is_folder: bool) -> bool:
    """Whether git has a file, or where `is_folder` a folder, of another MD5 hash than dvc.lock says."""
    path, said = str(entry.get("path")), entry.get("md5")
    if said is None:  # DVC has no hash of it, or one of another kind
        return False
    file = content.git.read(content.rev, path)
    if file is not None:
        return md5(file) != said
    if not is_folder or content.git.object_id(content.rev, path) is None:
        return False
    return folder_md5(content.git, content.rev, path) != said


def folder_md5(git: Repository, commit: str, folder: str) -> str:
    """The hash that DVC has for a folder whose files git keeps: of the list of their hashes."""
    files = sorted(path for path, _ in git.files(commit, folder))
    entries = [
        {"md5": md5(git.read(commit, path) or b""), "relpath": path.removeprefix(f"{folder}/")} for path in files
    ]
    return f"{md5(json.dumps(entries, sort_keys=True).encode())}.dir"


def md5(content: bytes) -> str:
    """DVC's name of a file."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def numbers(content: Commit, out: dict[str, Any]) -> str:
    """What to look at: the file's beginning, where it is a text."""
    text = (content.git.read(content.rev, str(out["path"])) or b"")[:60].decode(errors="replace")
    return f": it has {' '.join(text.split())}" if text.isprintable() and text else ""


def off_plan(study: Study) -> Iterator[str]:
    """Runs whose settings are not the ones that the design gives their arm and seed, on the commit they started from.

    But for the models of others, whose names may stand for others by now.
    """
    planned = studies.planned(study)
    keys = study.contract.model_keys
    free = tuple(f"{key}." for key in ("experiment", keys.one, keys.several) if key)

    def settings(params: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in flat(params).items() if not f"{key}.".startswith(free)}

    for replicate in study.replicates:
        params = planned.get((replicate.arm, replicate.seed))
        record = replicate.record
        if params is None or record is None or record.status != FINISHED or replicate.reused:
            continue
        used, asked = settings(replicate.record.params), settings(params)
        other = [key for key in sorted(used.keys() | asked.keys()) if used.get(key) != asked.get(key)]
        if other:
            key = other[0]
            more = f", and {len(other) - 1} more" if len(other) > 1 else ""
            yield (
                f"{replicate.record.name} ran with {key}={used.get(key, 'nothing')}, where the design gives "
                f"{replicate.arm}, seed {replicate.seed}: {asked.get(key, 'nothing')}{more}"
            )


def mismeasured(study: Study) -> Iterator[str]:
    """Metrics that are not what the run's own table of test items gives, where that is here."""
    examples = per_item.read(study)
    for replicate in study.replicates:
        frame = examples.frames.get((replicate.arm, replicate.seed))
        if frame is None or not len(frame):
            continue
        import numpy as np

        once = np.ones((len(frame), 1))
        for name in flat(replicate.record.metrics):
            said = replicate.record.value(name)
            score = examples.scorer(frame, name) if said is not None and study.stage == name.partition(".")[0] else None
            again = float(score(once)[0]) if score is not None else math.nan
            if (
                said is not None
                and math.isfinite(again)
                and not math.isclose(said, again, rel_tol=ALIKE, abs_tol=ALIKE)
            ):
                yield (
                    f"{replicate.record.name} says {said:g} in {name}, where what it said of each test "
                    f"{study.contract.item} gives {again:g}"
                )


class Absent(NamedTuple):
    """Outputs that are neither in git, nor in DVC's cache here, nor on its remote, so that nobody can look."""

    needed: list[str]
    """Of the run whose results the branch has, and of what verdicts are made of."""
    others: list[str]
    """What `lab gc` may have freed, or nobody has ever sent."""


def absent(study: Study, target: str) -> Absent | None:
    """What is not to be seen of the runs behind the branch `target`; None where the remote can't be read from here."""
    project, git = study.project, study.project.git
    wanted: dict[str, str] = {}
    needed: set[str] = set()
    for record in study.finished:
        is_applied = git.object_id(record.commit, PARAMS) == git.object_id(target, PARAMS)
        read = report_files.of(record)
        for path, out in record.outputs.items():
            if "md5" in out and git.object_id(record.commit, path) is None:
                wanted[out["md5"]] = f"{path} of {record.name}, by its {LOCK} {out['md5']}"
                needed |= {out["md5"]} if is_applied or path in read else set()
    nowhere = project.store.nowhere(wanted)
    if nowhere is None:
        return None
    told = {md5: f"{what}, is neither in DVC's cache here nor on its remote" for md5, what in wanted.items()}
    return Absent(
        [text for md5, text in told.items() if md5 in nowhere & needed],
        [text for md5, text in told.items() if md5 in nowhere - needed],
    )


def unborn(study: Study, main: str | None) -> Iterator[str]:
    """Runs that are no experiments but commits, and not the default branch's: nothing tells them from a text."""
    git = study.project.git
    for record in study.ended:
        if record.commit == record.baseline and main and not git.is_ancestor(record.commit, main):
            yield f"{record.name} is a commit of the branch and no experiment, so that anything may stand in it"


def superseded(study: Study) -> list[GitRecord]:
    """The finished runs of the design that another one of the same arm and seed has taken the place of."""
    counted = {record.commit for record in study.ended}
    return [
        record
        for record in study.project.records()
        if record.status == FINISHED
        and record.experiment.get("design") == study.design.name
        and record.commit not in counted
        and record.commit != record.baseline
    ]
