"""How a plan's runs stand: each with the record that answers it, and with what it is at where it is running."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.contract.metrics import compiled
from lab.design.plan import MEMBERSHIP
from lab.errors import UserError
from lab.execution import logs
from lab.git_refs import NOTHING
from lab.nested_keys import get
from lab.records import studies
from lab.records.git_record import GitRecord
from lab.records.lacking import lacking
from lab.records.planning import pipeline_files
from lab.records.project import answer
from lab.study import FAILED, KILLED, ORDER, OVER_TIME, REMOVED, RUNNING, UNREADABLE, Replicate

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.plan import Run
    from lab.records.project import Project
    from lab.study import Study

_STAGE = re.compile(r"(?:Running stage|Stage) '([^']+)'")
# What a lock, the disk or DVC itself says where it fails: a TypeError or an OSError in its own code, such as when two
# workers are at the cache of runs, or a signal to it. A stage's own failure has an exit code, and DVC's objections are
# words of their own.
OUTSIDE = re.compile(
    r"^ERROR:.*(unexpected error|\[Errno \d+\]|argument must be \w+|NoneType|No space left on device|Input/output error"
    r"|Disk quota exceeded|File too large|interrupted by the user"
    r"|No such file or directory: .*[/\\]files[/\\]md5[/\\])",  # in DVC's cache, which others write to as well
    re.MULTILINE,
)
LOCKED = re.compile(r"Unable to acquire lock|LockError|FileLocked|is busy, it is being blocked|\.lock'?: File exists")


def standings(
    project: Project, runs: Iterable[Run], head: str | None = None, names: Mapping[str, str] | None = None
) -> list[Replicate]:
    """How `runs` stand on the commit `head` (left out, HEAD): each with the record that answers it, of whatever design.

    `names` are the experiments that have to answer, by the runs' names: those that were queued anew on purpose. Other
    runs are answered by any record of the same config, code and data.
    """
    named = {(record.baseline, record.name): record for record in project.records()}  # of two alike, the later
    replicates = []
    for run in runs:
        own = (names or {}).get(run.name)
        record = named.get((head or "", own)) if own else answered(project, run, head) or removed(project, run, head)
        reused = record is not None and record.name != run.name and not _is_own(record, run)
        lacks = lacking(record, run.needs)
        replicates.append(Replicate(run.arm, run.levels, run.seed, record, reused=reused, run=run, lacks=lacks))
    return replicates


def answered(project: Project, run: Run, head: str | None = None) -> GitRecord | None:
    """The record that answers a run on a commit (left out, HEAD).

    One that has finished or is under way, of whatever design, or else the run's own that can't be read, or that by its
    dvc.lock has not come to the run's last stage.
    """
    record = project.answer(run.params, run.target, head)
    if record is None:
        same = project.by_key().get(run.key, [])
        record = next((each for each in same if (each.baseline, each.name) == (head or project.head, run.name)), None)
    if record is None or ORDER.index(record.status) < ORDER.index(UNREADABLE):
        return project.unreadable(run, head or project.head) or record
    return record


def removed(project: Project, run: Run, head: str | None = None) -> GitRecord | None:
    """What is left of a run that had finished here: its log, which says that somebody has removed the experiment."""
    baseline = head or project.head or ""
    there = logs.kept(project.root, baseline, run.name).exists()
    return GitRecord(project, run.name, NOTHING, baseline, REMOVED) if there else None


def _is_own(record: Any, run: Run) -> bool:
    """Whether a record of another name was made for the run: again, by the same design as it reads now."""
    block = run.params.get(MEMBERSHIP, {})
    return "design" in block and all(record.experiment.get(key) == block.get(key) for key in ("design", "digest"))


def disturbed(record: Any) -> bool:
    """Whether a run failed for a reason outside: killed, a lock, the disk, a lost worker, DVC; not a stage's own."""
    if OVER_TIME in record.log:
        return False
    if record.exit_code is not None:
        return record.exit_code in KILLED
    if record.pending is None or LOCKED.search(record.log) or OUTSIDE.search(record.log):
        return True
    code = record.pending.returncode
    return code is None or code <= 0  # never set up, killed, or finished and lost on the way back


def interrupted(replicate: Replicate) -> bool:
    """Whether a run failed for a reason outside: another `lab run` takes it up."""
    return replicate.status == FAILED and disturbed(replicate.record)


def undecided(replicate: Replicate) -> bool:
    """Whether a run has neither finished nor failed for good."""
    if replicate.is_to_come or replicate.active or replicate.status == UNREADABLE:
        return True
    return interrupted(replicate)


def outdated_runs(study: Study) -> set[tuple[str, int]]:
    """The runs of a study that are over, by arm and seed, and that a plan of today has as new: by code or data.

    Only where the config is another is the design planned anew: elsewhere its runs' own settings are those of the plan.
    """
    project, git, head = study.project, study.project.git, study.project.head
    if head is None or study.commit == head:
        return set()
    over = [replicate for replicate in study.replicates if replicate.is_over]
    is_planned = any(git.object_id(study.commit, path) != git.object_id(head, path) for path in pipeline_files(project))
    planned = _planned(study) if is_planned else {}

    def is_answered(replicate: Replicate) -> bool:
        record, params = replicate.record, planned.get((replicate.arm, replicate.seed))
        if params is not None:
            return project.answer(params, record.stage, head) is not None
        settings = record.content.params_on(head)
        return (
            not is_planned and answer(project, project.by_key(), record.key, settings, record.stage, head) is not None
        )

    return {(replicate.arm, replicate.seed) for replicate in over if not is_answered(replicate)}


def _planned(study: Study) -> dict[tuple[str, int], dict[str, Any]]:
    """The params of each run that a plan of today has; none where the design can't be planned any more."""
    try:
        planner = studies.planner(study.project, study.project.root / study.path)
        choices = study.choices._replace(asked=planner.all_seeds(study.choices.trials))
        runs = planner.plan(*choices).runs
    except UserError:
        return {}
    return {(run.arm, run.seed): run.params for run in runs}


@dataclass(frozen=True)
class Progress:
    """Where a running experiment is: its stage and, while it trains, its epochs and its metrics by name."""

    stage: str = ""
    epoch: int = 0
    epochs: int = 0
    metrics: Mapping[str, float] | None = None

    def __str__(self) -> str:
        metric = next((f"  {name} {value:.4g}" for name, value in (self.metrics or {}).items()), "")
        return f"{self.stage} {self.epoch}/{self.epochs}{metric}" if self.epoch else self.stage


def progress(record: Any, contract: Contract) -> Progress:
    """Where a running experiment is, from its log and from the epochs that it has noted."""
    if record.pending is None or not record.pending.log.exists():
        return Progress("starting" if record.status == RUNNING else "")
    stages = _STAGE.findall(record.pending.log.read_text(errors="replace"))
    stage, curves = stages[-1] if stages else "starting", contract.curves
    latest = {name: points[-1] for name, points in record.curves.items()} if curves and stage == curves.stage else {}
    if curves is None or not latest:
        return Progress(stage)
    patterns = [compiled(pattern) for pattern in curves.progress]
    shown = {
        name: point.value for name, point in latest.items() if any(pattern.fullmatch(name) for pattern in patterns)
    }
    epochs = get(record.params, curves.epochs) if curves.epochs else None
    return Progress(stage, 1 + max(point.step for point in latest.values()), epochs or 0, shown)
