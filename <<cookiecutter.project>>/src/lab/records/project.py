"""The project, read once a command: its contract, its git repository, and all records of its runs."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from lab import contract
from lab.contract import FILE, Contract
from lab.design.pipeline import Pipeline
from lab.design.plan import run_key
from lab.errors import UserError
from lab.git import NoRepository, Repository
from lab.records.commit import LOCK, PARAMS, Commit
from lab.records.git_record import GitRecord
from lab.records.pending import Pending
from lab.store import Store
from lab.study import FAILED, FINISHED, QUEUED, RUNNING

Outcome = tuple[str | None, ...]


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
        self._by_key: dict[str, list[GitRecord]] | None = None
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
            finished = [GitRecord(self, e.name, e.commit, e.baseline, FINISHED) for e in self.git.experiments()]
            self._records = [*self._history(finished), *finished, *self._unfinished(pending, finished)]
        return self._records

    def refresh(self) -> None:
        """Look at the project anew: runs have begun or ended, or HEAD has moved. What commits say is kept."""
        self._records = self._by_key = None

    def by_key(self) -> Mapping[str, list[GitRecord]]:
        """The records by what makes their params the same."""
        if self._by_key is None:
            self._by_key = grouped(self.records())
        return self._by_key

    def _history(self, finished: Iterable[GitRecord]) -> list[GitRecord]:
        """The results in HEAD's history, without those that an experiment brought."""
        head = self.head
        if head is None:
            return []
        seen = {self._outcome(record.commit) for record in finished}
        commits = self._results_in_history(head)
        return [GitRecord(self, rev[:7], rev, rev, FINISHED) for rev, outcome in commits if outcome not in seen]

    def _results_in_history(self, head: str) -> list[tuple[str, Outcome]]:
        """The commits up to `head` that brought new metrics, the oldest first, with their outcomes."""
        if head not in self._results:
            results = []
            for rev in self.git.history(head):
                outcome, parents = self._outcome(rev), self.git.parents(rev)
                before = self._outcome(parents[0]) if parents else ()
                if any(outcome[1:]) and outcome[1:] != before[1:]:
                    results.append((rev, outcome))
            self._results[head] = results[::-1]
        return self._results[head]

    def _outcome(self, rev: str) -> Outcome:
        """What tells two results apart without reading them: the ids of params.yaml and of the metrics files.

        Where git has none of these, DVC keeps them, and dvc.lock has their hashes.
        """
        try:
            files = self.commit(rev).pipeline.declared_metrics(self.contract)
        except UserError:  # a commit from before there was a pipeline, or with one that lab can't read
            return (None,)
        ids = [self.git.object_id(rev, path) for path in files]
        return (self.git.object_id(rev, PARAMS), *(ids if any(ids) else [self.git.object_id(rev, LOCK)]))

    def _unfinished(self, pending: Iterable[Pending], finished: Iterable[GitRecord]) -> list[GitRecord]:
        """What the backend has and has not become an experiment."""
        names = {(record.baseline, record.name) for record in finished}
        return [
            GitRecord(self, run.name, run.commit, run.baseline, run.status, run)
            for run in pending
            if not (run.delivered and (run.baseline, run.name) in names)
        ]

    def answer(self, params: dict[str, Any], stage: str, head: str | None = None) -> GitRecord | None:
        """The record of a run with `params` up to a stage on the commit `head` (left out, HEAD), of any design.

        It has the same config, code and data. A finished one answers best, then one that is running, queued or failed;
        of two that are alike, the later. Data that git does not know is only taken for the same on the same commit.
        """
        return answer(self, self.by_key(), params, stage, head)


def grouped(records: Iterable[GitRecord]) -> dict[str, list[GitRecord]]:
    """The records by what makes their params the same."""
    groups: dict[str, list[GitRecord]] = defaultdict(list)
    for record in records:
        groups[record.key].append(record)
    return groups


def answer(
    project: Project, groups: Mapping[str, list[GitRecord]], params: dict[str, Any], stage: str, head: str | None = None
) -> GitRecord | None:
    """As `Project.answer`, of some of the records alone."""
    same = groups.get(run_key(params), [])
    rev = head or project.head
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
        and record.content.code(params, stage) == code
    ]
    order = (FAILED, QUEUED, RUNNING, FINISHED)
    return max(alike, key=lambda record: (order.index(record.status), alike.index(record)), default=None)
