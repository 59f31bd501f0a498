"""What a design's runs have taken of its budget, and how many more it allows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lab.study import FAILED, FINISHED, QUEUED, RUNNING

if TYPE_CHECKING:
    from lab.design.resources import Budget
    from lab.study import Study

HOUR = 3600.0  # seconds


def affordable(budget: Budget, records: Iterable[Any]) -> float:
    """How many more runs a budget allows, by the records of those that were started; infinite where only hours are
    limited and nobody knows yet how long a run takes.

    Hours are those of the runs' stages, added up. A run is expected to take as long as those that have finished, and
    has to fit into what is left.
    """
    started = [record for record in records if record.status in (FINISHED, FAILED, QUEUED, RUNNING)]
    runs = math.inf if budget.runs is None else float(budget.runs - len(started))
    took = [sum(record.seconds.values()) for record in started if record.status == FINISHED]
    if budget.hours is None or not any(took):
        return max(0.0, runs)
    under_way = sum(record.status in (QUEUED, RUNNING) for record in started)
    typical = statistics.median(took)
    seconds_left = budget.hours * HOUR - sum(took) - under_way * typical
    return max(0.0, min(runs, math.inf if typical == 0 else math.floor(seconds_left / typical)))


def used_up(study: Study) -> str:
    """What of a study did not run since its budget is used up, in words; empty where there is none, or some is left."""
    budget = study.design.budget
    if budget is None:
        return ""
    own = [each.record for each in study.replicates if each.record and not each.reused]
    own += [record for each in study.replicates for record in each.superseded]
    left_out = [f"{each.arm} with seed {each.seed}" for each in study.replicates if each.is_to_come]
    if not left_out or affordable(budget, own) >= 1:
        return ""
    return f"the budget of {budget} is used up, and {len(left_out)} runs did not run: {', '.join(left_out)}"
