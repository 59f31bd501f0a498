"""Which items a run was measured on, and which designs have looked at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.nested_keys import get
from lab.study import FINISHED

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.study import Record, Study


def test_split(contract: Contract, record: Record) -> tuple[Any, ...]:
    """Which items a run was measured on, as far as its settings tell."""
    return tuple(get(record.params, key) for key in contract.test_split)


def looked_at(study: Study, record: Record) -> set[str]:
    """The designs that have measured something on a run's test items, its own among them, and the runs of no design but
    those that answer this one: nothing was measured twice by them."""
    own = {(answer.baseline, answer.name) for answer in study.finished}
    runs = (run for run in study.project.records() if run.status == FINISHED and run.reaches(study.stage))
    split = test_split(study.contract, record)
    return {
        str(run.experiment.get("design") or (study.design.name if (run.baseline, run.name) in own else run.name))
        for run in runs
        if run.data == record.data and test_split(study.contract, run) == split
    }


def looks(study: Study) -> list[str]:
    """The designs that have looked at the items which a study's runs were measured on, in the order of their names."""
    if study.project is None:
        return []
    answers = [record for record in study.finished if record.reaches(study.stage)]
    by_split = {(record.data, repr(test_split(study.contract, record))): record for record in answers}
    return sorted({name for record in by_split.values() for name in looked_at(study, record)})
