"""What was known of a design's runs before: by what came out, and by settings less those that change nothing.

A question that is written over known results is no test of them, whatever it is called and however its runs are told
apart: by a batch size of inference, by a thread more, or by being run again. What changes nothing is data: `neutral` of
lab.yaml. A speed is another one with other threads, so that of a timing only the very same settings were seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lab.design.plan import EPOCHS
from lab.study import FINISHED, metric_names

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.models import Design
    from lab.records.git_record import GitRecord
    from lab.records.project import Project
    from lab.study import Replicate

Stated = Callable[["GitRecord"], bool]


def marked(
    project: Project, design: Design, contract: Contract, replicates: Sequence[Replicate], stated: Stated
) -> list[Replicate]:
    """The replicates with what was known of them: `seen`, and the runs of the design whose place they have taken.

    `stated` says of a run whether the commit that it started from has the design as it reads now.
    """
    stage, metrics = contract.types[design.type], metric_names(design, contract, [r.record for r in replicates])
    is_timing = any(contract.metric(metric).timing for metric in metrics[:1])
    own: dict[str, list[GitRecord]] = defaultdict(list)
    for record in project.by_design().get(design.name, []):
        if record.status == FINISHED:
            own[place(record)].append(record)

    def of(replicate: Replicate) -> Replicate:
        record = replicate.record
        others = alike(project, record, stage, metrics, is_timing, stated) if replicate.stated else iter(())
        seen = next((each.name for each in others), "")
        there = own.get(place(record), [])
        superseded = tuple(
            each for each in there if record in there and each.commit not in (record.commit, each.baseline)
        )
        return replace(replicate, seen=seen, superseded=superseded)

    return [of(replicate) if replicate.finished else replicate for replicate in replicates]


def place(record: GitRecord) -> str:
    """What two runs of a design have in common of which one takes the other's place; a search has epochs besides."""
    asked = record.experiment
    return repr((asked.get("arm"), asked.get("seed"), record.stage, asked.get(EPOCHS)))


def alike(
    project: Project, record: GitRecord, stage: str, metrics: Sequence[str], is_timing: bool, stated: Stated
) -> Iterator[GitRecord]:
    """Finished runs from before the question that came to the same as one of it, or had to by their settings."""
    brief = record.content.brief

    def known(other: GitRecord) -> bool:
        """Whether another run was there before this one, and before the question."""
        is_other = other.commit != record.commit and other.reaches(stage)
        return is_other and before(project, other, record) and not stated(other)

    for other in project.finished_by_essence().get(brief.essence, []) if not is_timing else ():
        if known(other) and other.data == record.data and other.code_of(stage) == record.code_of(stage):
            yield other
    # By the stage that answers or, where nothing tells its results apart, by the last that has something.
    made_by = stage if stage in brief.came_out else next(reversed(brief.came_out), "")
    for other in project.finished_by_output(made_by).get(brief.came_out.get(made_by, ""), []):
        if known(other) and all(other.value(metric) == record.value(metric) for metric in metrics):
            yield other


def before(project: Project, other: GitRecord, record: GitRecord) -> bool:
    """Whether a run was there when another was made."""
    return project.git.time(other.commit) <= project.git.time(record.commit)
