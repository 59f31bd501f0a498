"""A design as a parent run: its question, how its runs stand, the best of them, and what it all means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import nested_keys
from lab.analysis import estimates, gate, verdict
from lab.analysis.answer import answer
from lab.markdown import plain
from lab.records import per_item
from lab.study import FAILED, FINISHED, QUEUED, RUNNING, UNMEASURED, UNREADABLE, Replicate, Study
from lab.tracking import outputs, text
from lab.tracking.projection import labels
from lab.tracking.projection.member import VERSION, Member, hashed, milliseconds
from lab.tracking.run import Point, Run

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.tracking.pages import Pages
    from lab.tracking.surroundings import Surroundings


@dataclass(frozen=True)
class Projection:
    """A design as servers show it."""

    study: Study
    members: list[Member]
    around: Surroundings
    pages: Pages

    @property
    def key(self) -> str:
        """What tells its parent run from all others."""
        return self.study.design.name

    @property
    def digest(self) -> str:
        """Changes when anything of the design does."""
        rows = [[replicate.arm, replicate.seed, replicate.status] for replicate in self.study.replicates]
        return hashed([VERSION, self.study.digest, self.study.text, rows, [member.digest for member in self.members]])

    @property
    def start(self) -> int:
        """When its first run started."""
        return min(member.start for member in self.members)

    @property
    def end(self) -> int:
        """When its last run ended: not before its start, whatever the clock did."""
        return max(self.start, *(milliseconds(member.record.ended) for member in self.members))

    @property
    def active(self) -> bool:
        """Whether some of it is still to come."""
        return any(replicate.active for replicate in self.study.replicates)

    @cached_property
    def best(self) -> Member | None:
        """Of the arm that is best on the mean the run that is nearest to it: what it delivers, no lucky seed."""
        study, metric = self.study, next(iter(self.study.metrics), "")
        arm = estimates.best_of([estimates.arm_result(study, arm, metric) for arm in study.arms], study.merit(metric))
        typical = gate.typical(study, arm.arm, metric) if arm else None
        shown = (member for member in self.members if not member.superseded)
        return next((member for member in shown if typical and member.record == typical.record), None)

    def parent(self, ids: Mapping[str, str]) -> Run:
        """The design's own run; `ids` are its children's on the server, by key."""
        study, around = self.study, self.around
        outcome, files = self._outcome()
        best = self._best_values()
        tags = self._tags() | self._best_tags(ids) | {name: f"{value:.6g}" for name, value in best.items()} | outcome
        names = text.names([*best, *tags])
        points = [] if self.active else [Point(names[name], best[name], self.end, 0) for name in sorted(best)]
        return Run(
            key=self.key,
            name=study.design.name,
            status=self._status(),
            start=self.start,
            end=None if self.active else self.end,
            points=points,  # they come when all is over: a point can't be taken back
            tags={names[name]: value for name, value in around.tags(tags).items()},
            note=text.cut(around.scrub(self._note()), text.TAG),
            artifacts=outputs.scrubbed(self._own_files() | files, around.secrets) | self._models(),
            commit=study.commit,
            branch=around.branches.get(study.commit, ""),
            user=around.authors.get(study.commit, ""),
            source=around.source,
            metrics=list(text.names(study.metrics).values()),
            factors=self._factors(),
            ascending=study.minimized(next(iter(study.metrics), "")),
            overview=self._overview(),
        )

    def _tags(self) -> dict[str, Any]:
        """The question, and how its runs stand."""
        study, design = self.study, self.study.design
        statuses = [replicate.status for replicate in study.replicates]
        return {
            "design.id": self.key,
            "design.kind": design.kind,
            "design.type": design.type,
            "design.digest": study.digest,
            "git.baseline": study.commit,
            "git.branch": self.around.branches.get(study.commit),
            "runs.finished": statuses.count(FINISHED),
            "runs.failed": statuses.count(FAILED),
            "runs.unmeasured": statuses.count(UNMEASURED) or None,
            "runs.unreadable": statuses.count(UNREADABLE) or None,
            "runs.reused": sum(replicate.reused for replicate in study.replicates),
            "runs.planned": len(statuses),
            **labels.question(design),
        }

    def _best_tags(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """Which run is the best."""
        if self.best is None:
            return {}
        best = self.best.replicate
        return {
            "best.run_id": ids.get(self.best.key),
            "best.run_name": self.best.name,
            "best.arm": best.arm,
            "best.seed": best.seed,
            "best.params": json.dumps(labels.settings(self.study.design, best.arm, best.levels), ensure_ascii=False),
        }

    def _best_values(self) -> dict[str, float]:
        """What it measured: the design's metrics and the usual ones, named without their file: `best.accuracy`."""
        if self.best is None:
            return {}
        names = [*self.study.metrics, *self.study.contract.told_metrics(self.study.stage)]
        values = {_best_name(name): self.best.record.value(name) for name in dict.fromkeys(names)}
        return {name: value for name, value in values.items() if value is not None}

    def _outcome(self) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
        """The verdict as tags, and the report with its figures: once no run is left to wait for."""
        if self.active:
            return {}, {}
        judged = self._verdict
        tags = {"verdict": judged.outcome, "verdict.exploratory": "true" if judged.exploratory else None}
        return tags, dict(self.pages.report(self.study, judged))

    @cached_property
    def _verdict(self) -> Verdict:
        """What its runs come to: of all that is known of each test item once none is left to wait for."""
        return verdict.judge(self.study, None if self.active else per_item.read(self.study))

    def _own_files(self) -> dict[str, bytes | Path]:
        """The question and its runs."""
        study = self.study
        table = f"# {plain(study.design.title)}\n\n{self.pages.table(study)}\n"
        texts = {"design.yaml": study.text, "results.csv": self.pages.csv(study), "results.md": table}
        return {path: content.encode() for path, content in texts.items()}

    def _models(self) -> dict[str, bytes | Path]:
        """The best run's models, where they are wanted: once it is known to be the best."""
        if self.best is None or self.around.upload_models != "best" or self.active:
            return {}
        return outputs.models(self.study, self.best.record)

    def _factors(self) -> list[str]:
        """What the design varies, as far as that are params: not a group of settings, nor an arm's name."""
        params = {name for member in self.members for name in nested_keys.flat(member.record.params)}
        return [factor for factor in self.study.design.factors() if factor in params]

    def _overview(self) -> list[str]:
        """The metrics of a table of all designs: of their best runs, and of the runs themselves."""
        contract = self.study.contract
        stage = next(iter(contract.types.values()))  # not this design's own: the table is the same for all
        metrics = [name if "." in name else f"{stage}.{name}" for name in contract.overview or contract.main]
        return [*map(_best_name, metrics), *metrics]

    def _status(self) -> str:
        if self.active:
            return "RUNNING"
        statuses = {replicate.status for replicate in self.study.replicates}
        return "FAILED" if statuses & {FAILED, UNMEASURED} and FINISHED not in statuses else "FINISHED"

    def _note(self) -> str:
        """The answer first: MLflow folds what is longer than three lines."""
        study, design = self.study, self.study.design
        lines = [answer(study, self._verdict).markdown(), "", f"**{plain(design.title)}**"]
        if design.hypothesis:
            lines += ["", f"Hypothesis: {plain(design.hypothesis.claim)}"]
        return "\n".join([*lines, "", self.pages.table(study)]).strip()


def project(study: Study, records: Iterable[Any], around: Surroundings, pages: Pages) -> Projection:
    """A study and what else was ever run for its design: runs of earlier baselines, and those that were run again."""
    members = [
        Member(study, around, pages, replicate)
        for replicate in study.replicates
        if replicate.record is not None and _is_to_show(replicate.record)
    ]
    taken = {(member.replicate.arm, member.replicate.seed): member.key for member in members}
    known = {(member.record.baseline, member.record.name) for member in members}
    for record in records:
        block, identity = record.experiment, (record.baseline, record.name)
        if block.get("design") != study.design.name or identity in known or not _is_to_show(record):
            continue
        by = taken.get((block["arm"], block["seed"]), "the design has no such run any more")
        former = Replicate(block["arm"], block.get("levels", {}), block["seed"], record)
        members.append(Member(study, around, pages, former, by))
        known.add(identity)
    return Projection(study, members, around, pages)


def _is_to_show(record: Any) -> bool:
    """What is queued has nothing to show, and what runs has it after its first epoch: before, its start is unknown."""
    if record.status == RUNNING:
        return bool(record.curves)
    return record.status != QUEUED and record.started is not None


def _best_name(metric: str) -> str:
    """What a best run's metric is called in its design's run."""
    return f"best.{metric.partition('.')[2]}"
