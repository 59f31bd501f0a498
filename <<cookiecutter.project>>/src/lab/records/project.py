"""The project, read once a command: its contract, its git repository, and all records of its runs."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from lab import contract
from lab.contract import FILE, Contract
from lab.design.pipeline import Pipeline
from lab.design.plan import MEMBERSHIP, Run, run_key
from lab.design.sources import version
from lab.git import NoRepository, Repository
from lab.records import looks
from lab.records.commit import LOCK, Commit, Outcome
from lab.records.git_record import GitRecord
from lab.records.kept import Kept
from lab.records.pending import Pending
from lab.records.unreadable import Unreadable
from lab.store import Store
from lab.study import FINISHED, ORDER, QUEUED, REMOVED, RUNNING, UNREADABLE


class Project:
    """The project at `root`.

    Args:
        root: its folder.
        pending: tells what the backend has queued, running, or failed.
        tracked: gives the commit of a model that only a tracking server knows by that name; None for any other.
        at: the commit to read it at, in place of the one that is checked out; code and data are the work tree's.

    Raises:
        UserError: it has no contract; where git is asked for more than HEAD, it is in no repository.
    """

    def __init__(
        self,
        root: Path,
        pending: Callable[[], list[Pending]] = list,
        tracked: Callable[[str], str | None] | None = None,
        at: str | None = None,
    ):
        self.root, self.pending, self.tracked, self._at = root, pending, tracked, at
        self._commits: dict[str, Commit] = {}
        self._contracts: dict[str, Contract] = {}
        self._pipelines: dict[str | None, Pipeline] = {}
        self._results: dict[str, list[tuple[str, Outcome]]] = {}
        self._records: list[GitRecord] | None = None
        self._unfinished: list[GitRecord] = []  # among them
        self._seen: Any = None  # by the last look
        self._groups: dict[str, dict[str, list[GitRecord]]] = {}
        self._unread: list[Unreadable] | None = None
        self.cache: dict[Any, Any] = {}
        """What others have worked out of commits, which never change, by keys of their own."""

    @cached_property
    def contract(self) -> Contract:
        """lab.yaml as it stands."""
        return contract.read(self.root)

    @cached_property
    def git(self) -> Repository:
        """The git repository."""
        return Repository(self.root)

    @cached_property
    def kept(self) -> Kept:
        """What was worked out of commits before."""
        folder = self.root / ".dvc" / "tmp" / "lab" / "kept"
        return Kept(folder, str(self.git.prefix), self.contract.model_dump_json(), yaml.__version__)

    def remember(self, key: str, work_out: Callable[[], Any]) -> Any:
        """What Optuna asked for before (`design.bayesian.replay`), or asks for now."""
        return self.kept.find("asked", f"{version('optuna')} {key}", work_out)

    def composed(self, key: str, work_out: Callable[[], Any]) -> Any:
        """What Hydra made of a config before (`design.sources.HydraSource`), or makes of it now."""
        return self.kept.find("composed", key, work_out) if self.head else work_out()

    @cached_property
    def store(self) -> Store:
        """DVC's cache and remote."""
        return Store(self.root)

    @property
    def head(self) -> str | None:
        """The commit that it is read at; None before the first one, and without a repository."""
        if self._at is not None:
            return self._at
        with suppress(NoRepository):
            return self.git.head
        return None

    def at(self, commit: str) -> Project:
        """The project as it is read where another commit is checked out. What commits say is kept for both."""
        other = copy.copy(self)
        other._at = commit
        other.refresh()
        return other

    def commit(self, rev: str) -> Commit:
        """What a commit says, by its full hash."""
        if rev not in self._commits:
            self._commits[rev] = Commit(self, rev)
        return self._commits[rev]

    def pipeline(self, key: str | None, text: Callable[[], str]) -> Pipeline:
        """A dvc.yaml by the id of its content, parsed once."""
        if key not in self._pipelines:
            self._pipelines[key] = Pipeline.parse(text(), "dvc.yaml")
        return self._pipelines[key]

    def contract_at(self, commit: str) -> Contract:
        """The contract of a commit; HEAD's where it has none, as in a project from before there was one."""
        key = self.git.object_id(commit, FILE) or ""
        if key not in self._contracts:
            self._contracts[key] = contract.parse(self.git.text(commit, FILE), FILE) if key else self.contract
        return self._contracts[key]

    # Records

    def records(self) -> list[GitRecord]:
        """All records: HEAD's history, finished experiments, what the backend has; within each the older first."""
        if self._records is None:
            pending = (
                self.pending()
            )  # first: what leaves the queue in this moment is an experiment when we look for those
            experiments = self.git.experiments()
            self.kept.expect([each.commit for each in experiments])
            finished = [self._read(e.name, e.commit, e.baseline, FINISHED) for e in experiments]
            self._unfinished = self._not_finished(pending, finished)
            self._records = [*self._history(finished), *finished, *self._unfinished]
        return self._records

    def _read(self, name: str, commit: str, baseline: str, status: str, pending: Pending | None = None) -> GitRecord:
        """A run's record; an Unreadable one where that can't be read, with the reason."""
        content, start = self.commit(commit), self.commit(baseline)
        fault = content.brief.fault or ("" if start is content else start.start_fault)
        if not fault and status == FINISHED and start is not content and not content.brief.stages:
            fault = f"by its {LOCK} no stage has run with its params"
        if not fault:
            return GitRecord(self, name, commit, baseline, status, pending)
        status = status if status in (QUEUED, RUNNING) else UNREADABLE
        return Unreadable(self, name, commit, baseline, status, pending, fault, content.brief.experiment)

    def unreadable(self, run: Run, head: str | None) -> GitRecord | None:
        """The record that can't be read and is a run's on a commit, by its name or what is known of it."""
        whose = (run.params.get(MEMBERSHIP) or {}).get("design"), run.arm, run.seed

        def is_its(record: Unreadable) -> bool:
            block = record.block
            return record.name == run.name or (block.get("design"), block.get("arm"), block.get("seed")) == whose

        found = [record for record in self.unread() if record.baseline == head and is_its(record)]
        return max(found, key=lambda record: ORDER.index(record.status), default=None)

    def unread(self) -> list[Unreadable]:
        """The records that can't be read."""
        records = self.records()
        if self._unread is None:
            self._unread = [record for record in records if isinstance(record, Unreadable)]
        return self._unread

    def refresh(self) -> None:
        """Look at the project anew: runs have begun or ended, or HEAD has moved. What commits say is kept."""
        for record in self._records or ():
            if isinstance(record, Unreadable):  # what was lost may have been fetched since
                for rev in (record.commit, record.baseline):
                    self._commits.pop(rev, None)
        self._records = self._seen = None
        self._groups.clear()
        self._unread = None
        self.save()

    def look(self) -> bool:
        """`refresh` where something has changed since the last look; where not, the logs of what runs are read anew.

        Returns whether something has. It reads no object of git's, and costs the same with a thousand records.
        """
        state = (looks.state(self.git), self.pending())
        if state != self._seen:
            self.refresh()
            self._seen = state
            return True
        for record in self._unfinished:
            record.forget_logs()
        return False

    def save(self) -> None:
        """Keep on disk what was worked out of commits, for other processes."""
        if "kept" in vars(self):
            self.kept.save()

    def by_key(self) -> Mapping[str, list[GitRecord]]:
        """The records by what makes their params the same."""
        return self._grouped("key", lambda: grouped(self.records()))

    def finished_by_key(self) -> Mapping[str, list[GitRecord]]:
        """The same of those that have finished."""
        finished = (record for record in self.records() if record.status == FINISHED)
        return self._grouped("finished", lambda: grouped(finished))

    def finished_by_essence(self) -> Mapping[str, list[GitRecord]]:
        """Those that have finished by their settings, but for the ones that may leave every output as it is."""
        return self._grouped("essence", lambda: self._finished_by(lambda record: record.content.brief.essence))

    def finished_by_output(self, stage: str) -> Mapping[str, list[GitRecord]]:
        """Those that have finished by what came out of a stage."""
        return self._grouped(
            f"output {stage}", lambda: self._finished_by(lambda record: record.content.brief.came_out.get(stage))
        )

    def _finished_by(self, key: Callable[[GitRecord], str | None]) -> dict[str, list[GitRecord]]:
        groups: dict[str, list[GitRecord]] = defaultdict(list)
        for record in self.records():
            if record.status == FINISHED and (found := key(record)):
                groups[found].append(record)
        return dict(groups)

    def by_design(self) -> Mapping[str, list[GitRecord]]:
        """The records by the name of the design that they belong to, in the order of the first ones."""

        def group() -> dict[str, list[GitRecord]]:
            groups: dict[str, list[GitRecord]] = defaultdict(list)
            for record in self.records():
                if isinstance(name := record.experiment.get("design"), str):
                    groups[name].append(record)
            return dict(groups)

        return self._grouped("design", group)

    def _grouped(self, by: str, group: Callable[[], dict[str, list[GitRecord]]]) -> dict[str, list[GitRecord]]:
        if by not in self._groups:
            self._groups[by] = group()
        return self._groups[by]

    def _history(self, finished: Iterable[GitRecord]) -> list[GitRecord]:
        """The results in HEAD's history, without those that an experiment brought."""
        head = self.head
        if head is None:
            return []
        commits = self._results_in_history(head)
        readable = (record for record in finished if record.status == FINISHED) if commits else ()
        seen = {tuple(record.content.outcome) for record in readable}
        return [self._read(rev[:7], rev, rev, FINISHED) for rev, outcome in commits if tuple(outcome) not in seen]

    def _results_in_history(self, head: str) -> list[tuple[str, Outcome]]:
        """The commits up to `head` that brought new metrics, the oldest first, with their outcomes."""
        if head not in self._results:
            results = []
            for rev in self.git.history(head):
                outcome, parents = self.commit(rev).outcome, self.git.parents(rev)
                before = self.commit(parents[0]).outcome if parents else []
                if any(outcome[1:]) and outcome[1:] != before[1:]:
                    results.append((rev, outcome))
            self._results[head] = results[::-1]
        return self._results[head]

    def _not_finished(self, pending: Iterable[Pending], finished: Iterable[GitRecord]) -> list[GitRecord]:
        """What the backend has and has not become an experiment."""
        names = {(record.baseline, record.name) for record in finished}
        return [
            self._read(run.name, run.commit, run.baseline, run.status, run)
            for run in pending
            if not (run.delivered and (run.baseline, run.name) in names)
            and not (run.status == REMOVED and not self.git.kind(run.commit))  # of which nothing is left to tell
        ]

    def answer(self, params: dict[str, Any], stage: str, head: str | None = None) -> GitRecord | None:
        """The record of a run with `params` up to a stage on the commit `head` (left out, HEAD), of any design.

        It has the same config, code and data. A finished one answers best, then one that is running, queued or failed;
        of two that are alike, the later. Data that git does not know is only taken for the same on the same commit.
        """
        return answer(self, self.by_key(), run_key(params), params, stage, head)

    def on_code_of(self, rev: str, stage: str) -> list[GitRecord]:
        """The finished records up to a stage that the code of a commit would make again."""

        def group() -> dict[str, list[GitRecord]]:
            commit = self.commit(rev)
            finished = (record for record in self.records() if record.status == FINISHED and record.reaches(stage))
            alike = [
                each for each in finished if each.made_by(stage) == commit.code(each.content.params_on(rev), stage)
            ]
            return {"": alike}

        return self._grouped(f"code {rev} {stage}", group)[""]


def grouped(records: Iterable[GitRecord]) -> dict[str, list[GitRecord]]:
    """The records by what makes their params the same."""
    groups: dict[str, list[GitRecord]] = defaultdict(list)
    for record in records:
        if not isinstance(record, Unreadable):
            groups[record.key].append(record)
    return groups


def answer(
    project: Project,
    groups: Mapping[str, list[GitRecord]],
    key: str,
    params: dict[str, Any],
    stage: str,
    head: str | None = None,
) -> GitRecord | None:
    """As `Project.answer`, of some of the records alone.

    `key` is that of the run's params; of the params themselves as much is enough as tells code and data.
    """
    same = groups.get(key, [])
    rev = head or (project.head if same else None)
    if not same or rev is None:
        return None
    commit = project.commit(rev)
    data, code = commit.data(params), commit.code(params, stage)
    alike = [
        record
        for record in same
        if record.reaches(stage)
        and record.data == data
        and (data is not None or record.baseline == rev)
        and record.made_by(stage) == code
    ]
    return max(alike, key=lambda record: (ORDER.index(record.status), alike.index(record)), default=None)
