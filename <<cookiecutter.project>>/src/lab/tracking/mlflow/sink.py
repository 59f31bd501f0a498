"""Runs put into MLflow: each once, with each point once, whoever else does the same at the same time.

MLflow gives runs their ids, and has no unique keys. So a run is found by its tag (`design.id`, `dvc.exp.id`), and where
two were made of the same key, by clones that knew nothing of each other, the one with the earlier start and then the
smaller id stays, on which all agree; every pass that creates something looks again afterwards. On one machine a lock
keeps passes apart. `writing` says how a run tells how far it is.

What people delete in MLflow's pages comes back: a run is restored where it was all there, and the experiments of a
design whose own run is gone are found by their tags and put below the new one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.tracking import settings
from lab.tracking.mlflow import database, views
from lab.tracking.mlflow.errors import Conflict, public, translated
from lab.tracking.mlflow.remembered import Known, Remembered, timed
from lab.tracking.mlflow.writing import BATCH, CHILD, DESIGN, PARENT, Attachments, Writing, is_current
from lab.tracking.sink import Design, Member, Report, Trouble

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Stored

    from lab.tracking.run import Run

NESTED = "mlflow.parentRunId"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # that its page is one of runs, where a link doesn't say
ATTEMPTS = 5  # to send a design that another mirror sends, too
FEW = 20  # runs that are asked for one by one
_OPENED: dict[str, int] = {}  # the files that this process has open: MLflow never closes one


def create(root: Path, chosen: settings.Settings) -> MlflowSink:
    """The sink of the project at `root`: its own file, or the server that the environment names."""
    artifacts = root / "mlartifacts" if settings.embedded(root) else None
    return MlflowSink(settings.uri(root), chosen.experiment, artifacts)


class MlflowSink:
    """The runs of one MLflow experiment.

    Args:
        uri: of the tracking server, or `sqlite:///…`.
        experiment: its name; it is made where there is none.
        artifacts: the folder for artifacts where there is no server that has one.
    """

    name = "mlflow"

    def __init__(self, uri: str, experiment: str, artifacts: Path | None = None):
        self.uri, self.experiment_name, self.artifacts = uri, experiment, artifacts
        self.parents: dict[str, Stored] = {}
        self.attachments = Attachments(str(self.artifacts or self.uri))
        self._places: dict[str, list[tuple[str, str, Known]]] | None = None  # by design: parents, keys, and runs
        self._remembered: dict[str, Remembered] = {}  # by design
        self._has_looked, self._took = False, 0.0
        self.experiment, self.experiment_tags = "", {}
        self._client: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client: one way for a file and for a server. Importing it takes seconds."""
        if self._client is None:
            from mlflow import MlflowClient

            logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its tracebacks: a Trouble says it
            if self.uri.startswith("sqlite:"):
                database.hurry()
            self._client = MlflowClient(tracking_uri=self.uri)
        return self._client

    @property
    def place(self) -> str:
        """Where the runs are, for people."""
        return f"MLflow at {public(self.uri)}"

    def state(self) -> str:
        """Of a file, what changes when anybody writes to it. A server has to be asked: empty."""
        state = database.state(self.uri)
        return state and f"{self.uri} {self.experiment_name} {state}"

    # What is there

    def begin(self) -> None:
        """Find the experiment and its designs. Raises Trouble."""
        inode = database.inode(self.uri)
        if _OPENED.get(self.uri, inode) != inode:
            raise Trouble(f"{public(self.uri)} was deleted or replaced while it was open here: start lab mirror anew")
        self.attachments = Attachments(str(self.artifacts or self.uri))
        self._has_looked |= self._places is not None
        self._places = None
        with translated(self.uri):
            self._look()

    def has(self, design: Design) -> bool:
        """Whether a design is there just as it is now, each of its experiments once and below it."""
        stored = self.parents.get(design.key)
        if stored is None or not is_current(stored, design.digest):
            return False
        if self._has_looked:
            return True
        if self._places is None:  # all runs are read once in a process, by the first pass that has to
            with translated(self.uri):
                self._places, self._took = timed(self._read_places)
        places, parent = self._places.get(design.key, []), stored.info.run_id
        runs = {key: run for _, key, run in places}
        is_whole = runs.keys() >= {member.key for member in design.members}
        if not is_whole or len(runs) < len(places) or {above for above, _, _ in places} - {parent}:
            return False
        self._remembered[design.key] = Remembered(parent, runs, time.monotonic(), self._took)
        return True

    def gone(self, designs: Iterable[Design]) -> dict[str, str]:
        """The runs that no experiment stands behind any more: their ids, with what they are called. Raises Trouble."""
        known = {design.key: {member.key for member in design.members} for design in designs}
        parents = {stored.info.run_id: key for key, stored in self.parents.items()}
        names = {}
        with translated(self.uri):
            for stored in self._search(f"tags.`{CHILD}` LIKE '%'"):
                key, design = stored.data.tags[CHILD], parents.get(stored.data.tags.get(NESTED, ""), "(no design)")
                if key not in known.get(design, ()):
                    names[stored.info.run_id] = f"{design}: {stored.info.run_name} ({key})"
        return names | {run_id: f"{key}: the design itself" for run_id, key in parents.items() if key not in known}

    def delete(self, ids: Iterable[str]) -> None:
        """Delete runs, as in MLflow's own pages: `mlflow gc` is what frees the space. Raises Trouble."""
        with translated(self.uri):
            for run_id in ids:
                self.client.delete_run(run_id)

    def _look(self) -> None:
        self._find()
        _OPENED[self.uri] = database.inode(self.uri)
        self.parents = self._unique(self._search(f"tags.`{PARENT}` LIKE '%'"), PARENT)

    def _read_places(self) -> dict[str, list[tuple[str, str, Known]]]:
        """By design, of each run of an experiment the parent that it names, its key, and what is remembered of it."""
        places: dict[str, list[tuple[str, str, Known]]] = {}
        for run in self._search(f"tags.`{CHILD}` LIKE '%'"):
            tags = run.data.tags
            places.setdefault(tags.get(DESIGN, ""), []).append((tags.get(NESTED, ""), tags[CHILD], Known.of(run)))
        return places

    def _find(self) -> None:
        """The experiment, made where there is none."""
        from mlflow.exceptions import MlflowException

        experiment = self.client.get_experiment_by_name(self.experiment_name)
        if experiment is None:
            try:
                place = self.artifacts.as_uri() if self.artifacts else None
                self.client.create_experiment(self.experiment_name, artifact_location=place, tags=KIND)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another mirror made it in this moment
                    raise
            experiment = self.client.get_experiment_by_name(self.experiment_name)
        if experiment.lifecycle_stage == "deleted":
            raise Trouble(
                f"the MLflow experiment {self.experiment_name} has been deleted: restore it, or name another in "
                f"{settings.FILE}"
            )
        self.experiment, self.experiment_tags = experiment.experiment_id, experiment.tags

    def _search(self, query: str, deleted: bool = False) -> Iterator[Stored]:
        from mlflow.entities import ViewType

        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        token: str | None = None
        while True:
            page = self.client.search_runs([self.experiment], query, view, max_results=BATCH, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _children(self, design: Design, parent: str, keys: Collection[str] = ()) -> dict[str, Known]:
        """The runs of a design's experiments, by key: all, or of a few keys. Those that hang elsewhere come below."""
        query = f"tags.`{DESIGN}` = '{design.key}'"
        if 0 < len(keys) <= FEW and not any("'" in key for key in keys):
            found = (run for key in keys for run in self._search(f"{query} AND tags.`{CHILD}` = '{key}'"))
        else:
            found = self._search(query)
        kept = self._unique(found, CHILD)
        for run in kept.values():
            self._put_below(parent, run)
        return {key: Known.of(run) for key, run in kept.items()}

    def _recalled(self, design: Design, parent: str) -> Remembered:
        """What is remembered of a design's runs; they are read where nothing is, or for too long. Forgotten by that."""
        known = self._remembered.pop(design.key, None)
        if known is None or known.parent != parent or known.is_old:
            runs, took = timed(lambda: self._children(design, parent))
            known = Remembered(parent, runs, math.inf, took)
        return known

    def _stored(self, known: Known) -> Stored:
        """A run that is remembered. Raises Conflict: it has been deleted since."""
        stored = self.client.get_run(known.run_id)
        if stored.info.lifecycle_stage != "active":
            raise Conflict
        return stored

    def _put_below(self, parent: str, run: Stored) -> None:
        if run.data.tags.get(NESTED) != parent:
            self.client.set_tag(run.info.run_id, NESTED, parent)

    def _unique(self, runs: Iterable[Stored], tag: str) -> dict[str, Stored]:
        """The runs by key. Of two with the same one, the loser's children go to the other, and it is deleted."""
        kept: dict[str, Stored] = {}
        for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id)):
            key = run.data.tags.get(tag)
            if key in kept:
                self._retire(run, kept[key])
            elif key is not None:
                kept[key] = run
        return kept

    def _retire(self, old: Stored, new: Stored) -> None:
        """Delete a run that another stands in for, which gets its children."""
        self._move(old.info.run_id, new.info.run_id)
        self.client.delete_run(old.info.run_id)

    def _move(self, old: str, new: str) -> None:
        """Give the children of one run to another."""
        for child in list(self._search(f"tags.`{NESTED}` = '{old}'")):
            self.client.set_tag(child.info.run_id, NESTED, new)

    # What is sent

    def send(self, design: Design) -> Report:
        """Bring a design and its experiments up to date, after `begin`. Raises Trouble."""
        left: set[str] = set()  # parents that we have written to, and that another mirror's may have replaced meanwhile
        for _ in range(ATTEMPTS):
            try:
                with translated(self.uri):
                    report = Report()
                    parent = self._parent(design, report)
                    for old in left - {parent}:
                        self._move(old, parent)
                    left.add(parent)
                    return self._send(design, parent, report)
            except Conflict:
                with translated(self.uri):
                    self._look()
        raise Trouble(f"{design.key}: another mirror keeps changing its runs at {public(self.uri)}")

    def _send(self, design: Design, parent: str, report: Report) -> Report:
        """The experiments that have changed, and then the design's own run."""
        remembered = self._recalled(design, parent)
        there, new = remembered.runs, []
        keys = {member.key for member in design.members}
        if not keys <= there.keys():
            there |= self._restored(design, parent, there, report)
        renamed = {run.revision: key for key, run in there.items() if run.revision and key not in keys}
        for member in design.members:
            known = there.get(member.key) or there.pop(renamed.get(member.revision, ""), None)
            if known is None or known.digest != member.digest:
                created = report.created
                there[member.key] = self._bring(design, parent, member, known, report)
                new += [member] if report.created > created else []
        if report.created:  # perhaps another mirror has made the same ones meanwhile
            self._look()
            made = self._children(design, parent, [member.key for member in new]) if new else {}
            if self._id(design) != parent or any(
                member.key not in made or made[member.key].digest not in ("", member.digest) for member in new
            ):
                raise Conflict
            there |= {member.key: made[member.key] for member in new}
        run = design.parent({key: known.run_id for key, known in there.items()})
        self._show(run)
        run = replace(run, note=views.linked(run, self.experiment, parent))
        writing = self._writing(run, PARENT, report, {})
        self.parents[design.key] = writing.write(self.parents[design.key], "" if report.problems else design.digest)
        since = min(remembered.since, time.monotonic())  # those that were read by this pass: to write may take long
        self._remembered[design.key] = remembered._replace(since=since)
        return report

    def _bring(self, design: Design, parent: str, member: Member, known: Known | None, report: Report) -> Known:
        """Bring an experiment's run up to date, or make it."""
        problems = len(report.problems)
        writing = self._writing(member.run(), CHILD, report, {NESTED: parent, DESIGN: design.key})
        written = writing.write(known and self._stored(known), member.digest)
        is_whole = len(report.problems) == problems
        return Known(written.info.run_id, member.digest if is_whole else "", member.revision)

    def _restored(self, design: Design, parent: str, there: Iterable[str], report: Report) -> dict[str, Known]:
        """Of the experiments that have no run the deleted ones, brought back: those that need nothing more."""
        wanted = {member.key: member.digest for member in design.members if member.key not in there}
        back: dict[str, Known] = {}
        for run in self._search(f"tags.`{DESIGN}` = '{design.key}'", deleted=True):
            key = run.data.tags.get(CHILD, "")
            if key in wanted and key not in back and is_current(run, wanted[key]):
                self._bring_back(run, report)
                self._put_below(parent, run)
                back[key] = Known.of(run)
        return back

    def _bring_back(self, run: Stored, report: Report) -> None:
        self.client.restore_run(run.info.run_id)
        report.updated += 1
        report.messages.append(f"{run.info.run_name} had been deleted in MLflow, and is back")

    def _writing(self, run: Run, tag: str, report: Report, birth: dict[str, str]) -> Writing:
        return Writing(self.client, self.experiment, self.attachments, run, tag, birth, self._retire, report)

    def _id(self, design: Design) -> str:
        stored = self.parents.get(design.key)
        return stored.info.run_id if stored else ""

    def _parent(self, design: Design, report: Report) -> str:
        """The id of a design's run. It is made where there is none, or none that starts early enough."""
        old = self.parents.get(design.key) or self._restored_parent(design, report)
        if old is None or old.info.start_time > design.start:
            new = self.client.create_run(self.experiment, design.start, {PARENT: design.key}, design.key)
            report.created += 1
            if old is not None:
                self._retire(old, new)
            self._look()  # perhaps another mirror has made one, too
        return self._id(design)

    def _restored_parent(self, design: Design, report: Report) -> Stored | None:
        """A design's deleted run, brought back; None where there is none that starts early enough."""
        for run in self._search(f"tags.`{PARENT}` = '{design.key}'", deleted=True):
            if run.info.start_time <= design.start:
                self._bring_back(run, report)
                self.parents[design.key] = run
                return run
        return None

    def _show(self, run: Run) -> None:
        """Views of the design's runs for MLflow's pages, which keeps them as tags of the experiment."""
        for key, value in views.tags(run).items():
            if self.experiment_tags.get(key) != value:
                self.client.set_experiment_tag(self.experiment, key, value)
                self.experiment_tags[key] = value
