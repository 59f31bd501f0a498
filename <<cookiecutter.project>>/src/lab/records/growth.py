"""How many seeds each arm of a design has come to, where they are added as far as it takes: by its records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from lab.analysis import verdict
from lab.analysis.growth import asked_before, grown, next_asked
from lab.records import per_item
from lab.study import Study

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.models import Design
    from lab.records.git_record import GitRecord
    from lab.records.project import Project
    from lab.study import Replicate


def seeds_asked(
    project: Project,
    design: Design,
    contract: Contract,
    commit: str,
    own: Iterable[GitRecord],
    replicates: Callable[[Mapping[str, int]], list[Replicate]],
) -> dict[str, int]:
    """For each arm how many of its seeds are to be run, those of the next look included.

    Args:
        commit: that the runs start from.
        own: the design's records on it.
        replicates: how the runs stand with so many seeds by arm.
    """

    def study(asked: Mapping[str, int]) -> Study:
        return Study(design, contract, commit, "", "", replicates(asked), project=project)

    return grown(asked_before(design, own), study, lambda made: _next(project, made))


def _next(project: Project, study: Study) -> dict[str, int]:
    """How many seeds each arm is asked for at the next look; kept, since to judge takes a while.

    What nodes said of each test item counts as well as what this machine did: it is fetched, once for each look.
    """

    def work_out() -> dict[str, int]:
        per_item.bring(study)
        return next_asked(study, verdict.judge(study, per_item.read(study)))

    runs = [
        [each.arm, each.seed, each.status, each.record.commit, bool(per_item.predictions(study, each.record))]
        for each in study.replicates
    ]
    key = json.dumps([study.digest, study.contract.model_dump_json(), runs])
    return project.kept.find("looks", key, work_out)
