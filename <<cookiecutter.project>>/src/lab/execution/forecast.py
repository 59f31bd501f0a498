"""When a plan's runs will be over: by the epochs of those that run, and by how long others took."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lab.design.expansion import is_bayesian
from lab.execution.standings import progress
from lab.nested_keys import get
from lab.study import FINISHED, RUNNING

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.models import Design
    from lab.execution.standings import Progress
    from lab.study import Replicate

MOST_EARLIER = 20  # runs, the latest of them
LONGEST_START = 60.0  # seconds that a stage takes to begin: what began later waited for something else


@dataclass
class Usual:
    """What runs took before, in seconds: by stage in the order in which they run, an epoch of the training, and what
    came after its last one."""

    stages: dict[str, float] = field(default_factory=dict)
    epoch: float | None = None
    tail: float = 0.0

    def lasts(self, contract: Contract, params: Mapping[str, Any], since: str = "") -> float | None:
        """All stages, or those after one, of a run with these params; None where nothing is known."""
        if not self.stages:
            return None
        names = list(self.stages)
        names = names[names.index(since) + 1 :] if since in names else names
        return sum(self.stage(name, contract, params) for name in names)

    def stage(self, name: str, contract: Contract, params: Mapping[str, Any]) -> float:
        """One of them; a training by its epochs."""
        epochs = epochs_of(contract, params)
        if contract.curves and name == contract.curves.stage and epochs and self.epoch is not None:
            return self.epoch * epochs
        return self.stages[name]


def usual(records: Iterable[Any], contract: Contract, stage: str) -> Usual:
    """What the latest finished runs took that came to a stage. What they took over from others is counted with one."""
    seconds: dict[str, list[float]] = {}
    paces, tails, seen = list[float](), list[float](), set[tuple[str, str]]()
    reach = [record for record in records if record.status == FINISHED and record.reaches(stage)]
    for record in reach[-MOST_EARLIER:]:
        for started, name, note, took in noted(record):
            if (name, started) in seen:
                continue
            seen.add((name, started))
            seconds.setdefault(name, []).append(took)
            epochs = (note.get("used") or {}).get("epochs", [])
            if contract.curves and name == contract.curves.stage and epochs:
                paces.append(took / len(epochs))
                tails.append(max(0.0, took - between(started, epochs[-1]["ended"])))
    shared = {name for name, took in seconds.items() if len(took) == 1 and len(reach) > 1}  # the prepared data, say
    stages = {name: fmean(took) for name, took in seconds.items() if name not in shared}
    return Usual(stages, fmean(paces) if paces else None, fmean(tails) if tails else 0.0)


def noted(record: Any) -> Iterator[tuple[str, str, Mapping[str, Any], float]]:
    """The stages of a run in the order in which they ran: when each started, its name, its note, and its seconds."""
    notes = sorted((str(note.get("started")), name, note) for name, note in record.effective.items())
    begun = [*(started for started, _, _ in notes), ""][1:]  # the next stage's; a project may note nothing
    for (started, name, note), following in zip(notes, begun, strict=True):
        yield started, name, note, with_start(float(note.get("seconds") or 0.0), started, following)


def ran(replicates: Iterable[Replicate]) -> dict[str, float]:
    """The seconds of the stages that ran for each run that has ended, by name; what several share counts with one."""
    took, seen = dict[str, float](), set[tuple[str, str]]()
    for each in sorted(replicates, key=wave_of):
        if each.finished:
            stages = {(name, started): seconds for started, name, _, seconds in noted(each.record)}
            if own := [seconds for stage, seconds in stages.items() if stage not in seen and not each.reused]:
                took[each.name] = sum(own)
            seen |= stages.keys()
    return took


def with_start(took: float, started: str, following: str) -> float:
    """How long a stage took with the start of the next one, where that came right after it."""
    if not following:
        return took
    gap = between(started, following)
    return gap if took <= gap <= took + LONGEST_START else took


def between(first: str, second: str) -> float:
    """The seconds from one time, as stages note it, to another."""
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def ends_of(record: Any) -> list[float]:
    """When each epoch of a running training ended; of one that was taken up again, those since then."""
    ends = [point.time.timestamp() for point in max(record.curves.values(), key=len)]
    return [end for end in ends if record.epochs_began is None or end > record.epochs_began.timestamp()]


def epochs_of(contract: Contract, params: Mapping[str, Any]) -> int:
    """How many epochs a run trains at most; 0 where that is no setting of its."""
    curves = contract.curves
    return (get(params, curves.epochs) if curves and curves.epochs else None) or 0


@dataclass
class Forecast:
    """When runs will be over, as it is seen from look to look.

    Attributes:
        contract: says what trains, and for how many epochs.
        jobs: how many run at a time; None: as many as do.
        earlier: what such runs took before; once runs of these have ended, what they took.
        design: of a bayesian sweep, runs that are still to be chosen count, too.
        took: the seconds from a worker's taking a run to its end, by name, of those that ended while it was looked on;
            of the plan's others that have ended, those of the stages that ran for them.
    """

    contract: Contract
    jobs: int | None
    earlier: Usual = field(default_factory=Usual)
    design: Design | None = None
    took: dict[str, float] = field(default_factory=dict)
    _taken: dict[str, float] = field(default_factory=dict)
    _pace: dict[str, float] = field(default_factory=dict)  # the seconds of an epoch, by run
    _whole: dict[str, float] = field(default_factory=dict)  # what a run that goes on is believed to take in all

    def look(self, replicates: Sequence[Replicate], now: float) -> None:
        """Note which runs have begun or ended by `now`, in seconds since the epoch, and learn from those that have."""
        ended = [each.record for each in replicates if each.finished]
        target = next((each.run.target for each in replicates if each.run), "")
        if ended and (own := usual(ended, self.contract, target)).stages:
            self.earlier = own
        for each in replicates:
            if each.status == RUNNING and each.record.pending is not None:
                self._taken[each.name] = each.record.pending.taken
            elif each.finished and each.name in self._taken:
                self.took[each.name] = now - self._taken.pop(each.name)
        self.took = ran(replicates) | self.took

    def left(self, record: Any, now: float, at: Progress | None = None) -> float | None:
        """The seconds that a running run still takes, by where it is; None where that tells nothing."""
        at, curves = at or progress(record, self.contract), self.contract.curves
        if at.epoch and curves and at.stage == curves.stage and record.started:
            if (training := self._training(record, at, now)) is None:
                return None
            later = self.earlier.lasts(self.contract, record.params, since=curves.stage)
            if later is None:  # what follows has to start and to load, too: as long as all before the first epoch took
                later = max(0.0, self._began(record) - record.pending.taken)
            return training + later
        if at.stage in self.earlier.stages and curves and at.stage != curves.stage:
            after = self.earlier.lasts(self.contract, record.params, since=at.stage) or 0.0
            return after + self.earlier.stage(at.stage, self.contract, record.params)
        if record.started and (whole := self.earlier.lasts(self.contract, record.params)) is not None:
            return max(0.0, whole - max(0.0, now - record.started.timestamp()))  # what it took to start comes on top
        return None

    def _training(self, record: Any, at: Progress, now: float) -> float | None:
        """What is left of a training; None where no epoch tells. Its first one is slower than others: it counts where
        nothing else is known."""
        ends, began = ends_of(record), self._began(record)
        if len(ends) > 1:
            self._pace[record.name] = (ends[-1] - ends[0]) / (len(ends) - 1)
        known = [pace for pace in (ends[0] - began if ends else None, self._others()) if pace is not None]
        pace = self._pace.get(record.name) or min(known, default=None)
        if pace is None:
            return None
        return max(0.0, pace * max(0, at.epochs - at.epoch) + self.earlier.tail - (now - [began, *ends][-1]))

    def _others(self) -> float | None:
        """How long an epoch takes by the plan's other runs, or else by earlier ones; None where nothing is known."""
        return fmean(self._pace.values()) if self._pace else self.earlier.epoch

    def _began(self, record: Any) -> float:
        """When the first epoch of a training began; where it does not say so, by how long other epochs took."""
        if record.epochs_began:
            return record.epochs_began.timestamp()
        started, pace = record.started.timestamp(), self._pace.get(record.name) or self._others()
        return started if pace is None else max(started, ends_of(record)[0] - pace)

    def seconds(self, replicates: Sequence[Replicate], now: float) -> float | None:
        """Until all are over; None where nobody knows. Waves come one after the other."""
        running = [each for each in replicates if each.status == RUNNING and each.record.pending is not None]
        elapsed = {each.name: max(0.0, now - each.record.pending.taken) for each in running}
        for each in running:
            if (left := self.left(each.record, now)) is not None:
                self._whole[each.name] = elapsed[each.name] + left
        at_once, end = self.jobs or max(1, len(running)), 0.0
        for wave in sorted({wave_of(each) for each in replicates}):
            own = [each for each in replicates if wave_of(each) == wave and not each.is_over]
            known = self._known(replicates, wave)
            slots = [end] * at_once
            for each in sorted(own, key=lambda each: each.name not in elapsed):  # first what runs
                whole = self._whole.get(each.name) if each.name in elapsed else None
                whole = self._lasts(each, known) if whole is None else whole
                if whole is None:
                    return None
                time = max(0.0, whole - elapsed.get(each.name, 0.0))
                heapq.heappush(slots, heapq.heappop(slots) + time)
            end = max(slots) if own else end
        for together in self._chosen_later(replicates):
            whole = self._lasts(replicates[-1], self._known(replicates, wave_of(replicates[-1])))
            if whole is None:
                return None
            end += whole * math.ceil(together / at_once)
        return end

    def _chosen_later(self, replicates: Sequence[Replicate]) -> Iterator[int]:
        """How many runs of a bayesian sweep are chosen at a time, by what comes out, once these are over."""
        if not replicates or self.design is None or not is_bayesian(self.design):
            return
        sweep, seeds = self.design.sweep, len(self.design.seeds)
        arms = {each.arm for each in replicates} - {self.design.reference}
        for first in range(len(arms), sweep.max_runs or 0, sweep.parallel):
            yield seeds * min(sweep.parallel, (sweep.max_runs or 0) - first)

    def _known(self, replicates: Sequence[Replicate], wave: int) -> dict[str, float]:
        """How long the runs of a wave take, by arm, and all of them under the empty name: those that are over, or else
        those that run."""
        names = {each.name: each.arm for each in replicates if wave_of(each) == wave}
        for seconds in (self.took, self._whole):
            if own := {name: seconds[name] for name in names if name in seconds}:
                arms = {names[name] for name in own}
                by_arm = {arm: fmean(took for name, took in own.items() if names[name] == arm) for arm in arms}
                return by_arm | {"": fmean(own.values())}
        return {}

    def _lasts(self, replicate: Replicate, known: Mapping[str, float]) -> float | None:
        """How long a run takes of which nothing is seen."""
        if found := known.get(replicate.arm, known.get("")):
            return found
        params = replicate.run.params if replicate.run else {}
        if wave_of(replicate) and replicate.run and replicate.run.target in self.earlier.stages:
            return self.earlier.stage(replicate.run.target, self.contract, params)  # the stages before are shared
        return self.earlier.lasts(self.contract, params)


def wave_of(replicate: Replicate) -> int:
    """Which wave of its plan a run belongs to."""
    return replicate.run.wave if replicate.run else 0
