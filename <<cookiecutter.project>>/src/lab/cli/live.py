"""What `lab status --json` prints, for a page that asks for it again and again.

Nothing is worked out where nobody looks, and little where nothing has changed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.cli.output import Output, Overview, Refused, Stand
from lab.cli.standing import stand
from lab.design import search
from lab.design.expansion import is_bayesian
from lab.errors import UserError
from lab.execution import campaign
from lab.execution.forecast import Forecast, usual
from lab.execution.standings import standings
from lab.study import QUEUED, RUNNING

if TYPE_CHECKING:
    from lab.cli.output import Answer
    from lab.contract import Contract
    from lab.design.models import Design
    from lab.design.plan import Plan
    from lab.records.planning import Planner
    from lab.records.project import Project
    from lab.study import Replicate

LEAST = 1.0  # seconds that an answer holds, however many pages ask
SLOW = 30.0  # seconds that the number of workers holds: all processes are looked through for it, or a cluster is asked


@dataclass
class Known:
    """What is known of a design's runs, until something changes; while they go on, by what they are forecast."""

    design: Design
    contract: Contract
    replicates: list[Replicate]
    forecast: Forecast | None
    answer: Answer | None = None


class Live:
    """The state of a project's runs, for pages that ask again and again.

    Args:
        project: whose runs they are.
        read: how those of a design stand, by its name. Raises UserError.
        workers: how many are at work, by where.
    """

    def __init__(self, project: Project, read: Callable[[str], Known], workers: Callable[[], dict[str, int | None]]):
        self.project, self.read, self.workers = project, read, workers
        self.lock = threading.Lock()
        self._known: dict[str, Known] = {}
        self._told: dict[str, tuple[float, Output]] = {}  # when, and what
        self._at_work: tuple[float, dict[str, int | None]] = (0.0, {})

    def status(self, design: str = "") -> Output:
        """What `lab status --json` says of a design, or of all that have runs at work."""
        with self.lock:
            at, told = self._told.get(design, (0.0, None))
            if told is None or time.monotonic() - at > LEAST:
                try:
                    if self.project.look():
                        self._known.clear()
                    told = self._stand(design) if design else self._overview()
                except UserError as error:
                    told = Refused(exit_code=2, error=str(error))
                told.command = "status"
                self._told[design] = time.monotonic(), told
            return told

    def _overview(self) -> Overview:
        """The designs that have runs at work: what others have is in git, and not counted again and again."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for record in self.project.records():
            if record.status in (QUEUED, RUNNING) and (name := record.experiment.get("design")):
                counts[name][record.status] += 1
        if not self._at_work[1] or time.monotonic() - self._at_work[0] > SLOW:
            self._at_work = time.monotonic(), self.workers()
        return Overview(designs={name: dict(own) for name, own in counts.items()}, workers=self._at_work[1])

    def _stand(self, design: str) -> Stand:
        if design not in self._known:
            self._known[design] = self.read(design)
        known = self._known[design]
        return stand(known.design, known.contract, known.replicates, known.answer, known.forecast, time.time())


class Reading:
    """Reads how the runs of a design stand, with the answer once they are over.

    Args:
        project: whose designs they are.
        planner: makes what plans a design, by its name. Raises UserError.
        answered: the answer to a design whose runs are over.
    """

    def __init__(self, project: Project, planner: Callable[[str], Planner], answered: Callable[[str], Answer | None]):
        self.project, self.planner, self.answered = project, planner, answered
        self._answers: dict[str, tuple[list[str], Answer | None]] = {}  # with the commits of the runs that give it
        self._planners: dict[str, tuple[str | None, Planner]] = {}  # each of a HEAD: it keeps what it has composed
        self._plans: dict[str, tuple[Planner, set[str], Plan]] = {}  # with what the plan followed from

    def __call__(self, name: str) -> Known:
        """Raises UserError."""
        planner, plan = self._plan(name)
        design, contract, project = planner.design, planner.contract, self.project
        replicates = standings(project, plan.runs)
        if any(replicate.active for replicate in replicates):
            earlier = usual(project.records(), contract, contract.types[design.type])
            forecast = Forecast(contract, None, earlier, design)
            forecast.look(replicates, time.time())
            return Known(design, contract, replicates, forecast)
        over = [replicate.record.commit for replicate in replicates if replicate.record]
        if self._answers.get(name, ([], None))[0] != over:  # it takes a second
            self._answers[name] = over, self.answered(name)
        return Known(design, contract, replicates, None, self._answers.get(name, ([], None))[1])

    def _plan(self, name: str) -> tuple[Planner, Plan]:
        """The plan as it stands: made anew for another HEAD and, where runs follow from others, once more are over."""
        head = self.project.head
        if name not in self._planners or self._planners[name][0] != head:
            self._planners[name] = head, self.planner(name)
        planner = self._planners[name][1]
        design = planner.design
        follows = design.growth or is_bayesian(design) or search.metrics(design, planner.contract)
        own = self.project.by_design().get(name, []) if follows else []
        over = {record.commit for record in own if record.status not in (QUEUED, RUNNING)}
        made_by, followed, plan = self._plans.get(name, (None, None, None))
        if plan is None or made_by is not planner or followed != over:
            plan = campaign.current(planner)
            self._plans[name] = planner, over, plan
        return planner, plan
