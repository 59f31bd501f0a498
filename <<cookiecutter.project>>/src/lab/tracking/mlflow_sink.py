"""Runs put into MLflow: each once, with each point once, whoever else does the same at the same time.

MLflow gives runs their ids, and has no unique keys. So a run is found by its tag (`design.id`, `dvc.exp.id`), and where two
were made of the same key, by clones that knew nothing of each other, the one with the earlier start and then the smaller
id stays, on which all agree; every pass that creates something looks again afterwards. On one machine a lock keeps passes
apart. What is written carries tags that say how far it is:

    mirror.sent      what was sent: how many points, and hashes of these, of the params and of the artifacts
    mirror.digest    written last, when all is there: while it is as it should be, there is nothing to do
    mirror.replaced  why the run took another's place

MLflow keeps points and params for ever, so a run whose beginning has changed is deleted and made anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lab.tracking import text, views
from lab.tracking.projection import Point, Run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Stored

PARENT, CHILD, NESTED = "design.id", "dvc.exp.id", "mlflow.parentRunId"
DIGEST, SENT, REPLACED = "mirror.digest", "mirror.sent", "mirror.replaced"
PASSING = ("failure", "infinite", "reused", "superseded.by", "best.", "verdict")  # tags that may no longer hold
BATCH, PAIRS = 1000, 100  # the most that one request takes, and of these the most params and tags each
ATTEMPTS = 5  # to send a design that another mirror sends, too
_FULL = re.compile("no space left|disk is full|quota exceeded", re.IGNORECASE)
_OPENED: dict[str, int] = {}  # the files that this process has open: MLflow never closes one


class Trouble(Exception):
    """A server that is down or refuses. The message is one line for a person."""


class Conflict(Exception):
    """Another mirror has changed what we were at."""


class Member(Protocol):
    """An experiment to send; what it holds is read when it is needed."""

    @property
    def key(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def revision(self) -> str: ...
    def run(self) -> Run: ...


class Design(Protocol):
    """A design to send, with its experiments."""

    @property
    def key(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def members(self) -> Sequence[Member]: ...
    def parent(self, ids: Mapping[str, str]) -> Run: ...


@dataclass
class Report:
    """What was done: how many runs were made and how many changed, and sentences on those that took another's place.

    `problems` are the artifacts that were not taken, in a line each: nothing else waits for them.
    """

    created: int = 0
    updated: int = 0
    said: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __iadd__(self, other: Report) -> Report:
        self.created += other.created
        self.updated += other.updated
        self.said += other.said
        self.problems += other.problems
        return self


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
        self.experiment, self.experiment_tags = "", {}
        self._client: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client: one way for a file and for a server. Importing it takes seconds."""
        if self._client is None:
            from mlflow import MlflowClient

            logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its tracebacks: `told` tells it
            if self.uri.startswith("sqlite:"):
                _hurry()
            self._client = MlflowClient(tracking_uri=self.uri)
        return self._client

    @property
    def place(self) -> str:
        """Where the runs are, for people."""
        return f"MLflow at {shown(self.uri)}"

    def state(self) -> str:
        """Of a file, what changes when anybody writes to it. A server has to be asked: empty."""
        if not _inode(self.uri):
            return ""
        found = Path(self.uri.removeprefix("sqlite:///")).stat()
        return f"{self.uri} {self.experiment_name} {found.st_ino} {found.st_mtime_ns} {found.st_size}"

    # What is there

    def begin(self) -> None:
        """Find the experiment and its designs. Raises Trouble."""
        if _OPENED.get(self.uri, _inode(self.uri)) != _inode(self.uri):
            raise Trouble(f"{shown(self.uri)} was deleted or replaced while it was open here: start lab mirror anew")
        with told(self.uri):
            self._find()
            _OPENED[self.uri] = _inode(self.uri)
            self.parents = self._unique(self._search(f"tags.`{PARENT}` LIKE '%'"), PARENT)

    def has(self, design: Design) -> bool:
        """Whether a design is there just as it is now."""
        found = self.parents.get(design.key)
        return found is not None and found.data.tags.get(DIGEST) == design.digest

    def gone(self, designs: Iterable[Design]) -> dict[str, str]:
        """The runs that no experiment stands behind any more: their ids, with what they are called. Raises Trouble."""
        known = {design.key: {member.key for member in design.members} for design in designs}
        designs_by_id = {parent.info.run_id: key for key, parent in self.parents.items()}
        found = {}
        with told(self.uri):
            for run in self._search(f"tags.`{CHILD}` LIKE '%'"):
                key, design = run.data.tags[CHILD], designs_by_id.get(run.data.tags.get(NESTED, ""), "(no design)")
                if key not in known.get(design, ()):
                    found[run.info.run_id] = f"{design}: {run.info.run_name} ({key})"
        return found | {i: f"{key}: the design itself" for i, key in designs_by_id.items() if key not in known}

    def delete(self, ids: Iterable[str]) -> None:
        """Delete runs, as in MLflow's own pages: `mlflow gc` is what frees the space. Raises Trouble."""
        with told(self.uri):
            for run_id in ids:
                self.client.delete_run(run_id)

    def _find(self) -> None:
        """The experiment, made where there is none."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(self.experiment_name)
        if found is None:
            try:
                place = self.artifacts.as_uri() if self.artifacts else None
                self.client.create_experiment(self.experiment_name, artifact_location=place)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another mirror made it in this moment
                    raise
            found = self.client.get_experiment_by_name(self.experiment_name)
        if found.lifecycle_stage == "deleted":
            raise Trouble(
                f"the MLflow experiment {self.experiment_name} has been deleted: restore it, or name another in conf/tracking.yaml"
            )
        self.experiment, self.experiment_tags = found.experiment_id, found.tags

    def _search(self, query: str) -> Iterator[Stored]:
        token: str | None = None
        while True:
            page = self.client.search_runs([self.experiment], query, max_results=BATCH, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _children(self, parent: str) -> dict[str, Stored]:
        return self._unique(self._search(f"tags.`{NESTED}` = '{parent}'"), CHILD)

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
                with told(self.uri):
                    report = Report()
                    parent = self._parent(design, report)
                    for old in left - {parent}:
                        self._move(old, parent)
                    left.add(parent)
                    return self._send(design, parent, report)
            except Conflict:
                self.begin()
        raise Trouble(f"{design.key}: another mirror keeps changing its runs at {shown(self.uri)}")

    def _send(self, design: Design, parent: str, report: Report) -> Report:
        have = self._children(parent)
        keys = {member.key for member in design.members}
        renamed = {run.data.tags.get("dvc.exp.rev"): run for key, run in have.items() if key not in keys}
        for member in design.members:
            stored = have.get(member.key) or (renamed.get(member.revision) if member.revision else None)
            if stored is None or stored.data.tags.get(DIGEST) != member.digest:
                writing = _Writing(self, member.run(), {NESTED: parent}, CHILD, report)
                have[member.key] = writing.write(stored, member.digest)
        if report.created:  # perhaps another mirror has made the same ones meanwhile
            self.begin()
            have = self._children(parent)
            if self._id(design) != parent or any(
                member.key not in have or have[member.key].data.tags.get(DIGEST) not in (None, member.digest)
                for member in design.members
            ):
                raise Conflict
        ids = {key: run.info.run_id for key, run in have.items()}
        run = design.parent(ids)
        self._show(run)
        writing = _Writing(self, run, {}, PARENT, report)
        self.parents[design.key] = writing.write(self.parents[design.key], "" if report.problems else design.digest)
        return report

    def _id(self, design: Design) -> str:
        found = self.parents.get(design.key)
        return found.info.run_id if found else ""

    def _parent(self, design: Design, report: Report) -> str:
        """The id of a design's run. It is made where there is none, or none that starts early enough."""
        old = self.parents.get(design.key)
        if old is None or old.info.start_time > design.start:
            new = self.client.create_run(self.experiment, design.start, {PARENT: design.key}, design.key)
            report.created += 1
            if old is not None:
                self._retire(old, new)
            self.begin()  # perhaps another mirror has made one, too
        return self._id(design)

    def _show(self, run: Run) -> None:
        """Views of the design's runs for MLflow's pages, which keeps them as tags of the experiment."""
        for key, value in views.tags(run).items():
            if self.experiment_tags.get(key) != value:
                self.client.set_experiment_tag(self.experiment, key, value)
                self.experiment_tags[key] = value


class _Writing:
    """A run on its way into MLflow. What keeps its artifacts away is reported: all else fails the pass."""

    def __init__(self, sink: MlflowSink, run: Run, birth: dict[str, str], tag: str, report: Report):
        self.sink, self.client, self.run, self.tag, self.report = sink, sink.client, run, tag, report
        self.tags = _tags(run) | birth

    def write(self, stored: Stored | None, digest: str) -> Stored:
        """Bring the stored run up to date, or make it. Returns it as it was before, or as it was made."""
        run = self.run
        sent = {"params": _hash(run.params), "points": 0, "hash": _hash([]), "files": ""}
        if stored is not None and SENT in stored.data.tags:
            before = json.loads(stored.data.tags[SENT])
            why = self._changed(stored, before, sent["params"])
            if why:
                stored = self._replace(stored, why, sent)
            else:
                sent = before
                self.report.updated += 1
                if stored.data.tags.get(self.tag) != run.key:
                    self.report.said.append(f"{stored.info.run_name} is called {run.name} now")
        elif stored is None:
            stored = self._create(self.tags | {SENT: json.dumps(sent)})
            self.report.created += 1
        run_id = stored.info.run_id
        points, params = self._log(stored, sent["points"])
        files = _hash({path: _file_hash(content) for path, content in run.artifacts.items()})
        complete = files == sent["files"] or self._attach(run_id)
        files = files if complete else sent["files"]
        if (stored.info.status, stored.info.end_time) != (run.status, run.end):
            self._settle(run_id)
        for key in stored.data.tags:
            if key.startswith(PASSING) and key not in self.tags:
                self.client.delete_tag(run_id, key)
        tags = {key: value for key, value in self.tags.items() if stored.data.tags.get(key) != value}
        done = {"params": sent["params"], "points": len(run.points), "hash": _hash(run.points), "files": files}
        tags |= {SENT: json.dumps(done)} | ({DIGEST: digest} if digest and complete else {})
        # Last of all; MLflow itself writes the tags of a request last: whoever finds the digest finds everything.
        self._log_batch(run_id, points, params, tags)
        return stored

    def _changed(self, stored: Stored, sent: Mapping[str, Any], params: str) -> str:
        """Why the stored run can't become this one."""
        if self.tag == CHILD and stored.info.start_time != self.run.start:
            return "it was started anew"
        if sent["params"] != params:
            return "its params have changed"
        if sent["hash"] != _hash(self.run.points[: sent["points"]]):
            return "its curves have changed"
        return ""

    def _create(self, tags: Mapping[str, str]) -> Stored:
        return self.client.create_run(self.sink.experiment, self.run.start, dict(tags), self.run.name)

    def _replace(self, old: Stored, why: str, sent: Mapping[str, Any]) -> Stored:
        """A new run in the place of an old one."""
        self.report.said.append(f"{self.run.name}: {why}, so its run in MLflow was made anew")
        self.report.created += 1
        new = self._create(self.tags | {SENT: json.dumps(sent), REPLACED: f"{why}; before it was {old.info.run_id}"})
        self.sink._retire(old, new)
        return new

    def _log(self, stored: Stored, done: int) -> tuple[list[Point], dict[str, str]]:
        """The data set, and the points from number `done` on. Returns what is left for the last request."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        run_id = stored.info.run_id
        known = {entry.dataset.digest for entry in stored.inputs.dataset_inputs} if stored.inputs else set()
        context = [InputTag("mlflow.data.context", "training")]
        new = [
            DatasetInput(Dataset(data.name, data.digest, "dvc", json.dumps(data.source)), context)
            for data in self.run.datasets
            if data.digest not in known
        ]
        if new:
            self.client.log_inputs(run_id, new)
        params = {} if self.run.params.keys() <= stored.data.params.keys() else self.run.params
        if len(params) > PAIRS:
            self._log_batch(run_id, [], params, {})
            params = {}
        points = self.run.points[done:]
        while len(points) > BATCH - 2 * PAIRS:
            self._log_batch(run_id, points[:BATCH], {}, {})
            points = points[BATCH:]
        return points, params

    def _log_batch(
        self, run_id: str, points: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(point.key, point.value, point.time, point.step) for point in points]
        pairs = [Param(key, value) for key, value in params.items()]
        self.client.log_batch(run_id, metrics, pairs, [RunTag(*tag) for tag in tags.items()], synchronous=True)

    def _attach(self, run_id: str) -> bool:
        """Send the artifacts. Whether it was possible: a full disk there must not keep the figures from being seen."""
        if not self.run.artifacts:
            return True
        try:
            with told("the folder for temporary files"), tempfile.TemporaryDirectory() as folder:
                for path, content in self.run.artifacts.items():
                    place = Path(folder, path)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if isinstance(content, bytes):
                        place.write_bytes(content)
                    else:
                        place.symlink_to(content.resolve())
                with told(str(self.sink.artifacts or self.sink.uri)):
                    self.client.log_artifacts(run_id, folder)
        except Trouble as trouble:
            self.report.problems.append(f"the artifacts of {self.run.name} were not taken: {trouble}")
            return False
        return True

    def _settle(self, run_id: str) -> None:
        """Set status and end."""
        if self.run.end is None:
            self.client.update_run(run_id, self.run.status)
        else:
            self.client.set_terminated(run_id, self.run.status, self.run.end)


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Make of MLflow's errors one line for a person (Trouble), or a Conflict."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        message = " ".join(str(error).split())
        place = shown(uri)
        gone = getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
        # Deleted by another mirror, or written by it in the same moment: MLflow lets the database tell.
        met = ("must be in the 'active' state", "IntegrityError", "UniqueViolation")
        if gone or any(words in message for words in met):
            raise Conflict from error
        if "error code 401" in message or "error code 403" in message or "PERMISSION_DENIED" in message:
            raise Trouble(
                f"MLflow at {place} refuses: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (in the environment, "
                "or in .env) are not those of a user who may write there"
            ) from error
        if _FULL.search(message):
            raise Trouble(f"the disk of {place} is full") from error
        if failing := re.search(r"too many (\d+) error responses", message):
            raise Trouble(f"MLflow at {place} answers with an error of its own ({failing[1]})") from error
        if "failed with exception" in message or isinstance(error, ConnectionError):
            raise Trouble(f"MLflow at {place} does not answer") from error
        if "readonly database" in message or "unable to open database" in message:
            raise Trouble(f"{place} can't be written") from error
        raise Trouble(f"MLflow at {place}: {text.cut(message, 300)}") from error


def shown(uri: str) -> str:
    """An address as people may see it."""
    return text.scrub(uri, ()).removeprefix("sqlite:///")


def _inode(uri: str) -> int:
    """The number of the file that an address names; 0 where it names none."""
    path = Path(uri.removeprefix("sqlite:///"))
    return path.stat().st_ino if uri.startswith("sqlite:///") and path.exists() else 0


def _tags(run: Run) -> dict[str, str]:
    """A run's tags, and MLflow's own ones."""
    tags = {
        "mlflow.runName": run.name,
        "mlflow.note.content": run.note,
        "mlflow.user": run.user,
        "mlflow.source.git.commit": run.commit,
        "mlflow.source.git.branch": run.branch,
        "mlflow.source.name": run.source,
        "mlflow.source.type": "PROJECT" if run.source else "",
    }
    return run.tags | {key: value for key, value in tags.items() if value}


def _hurry() -> None:
    """Let SQLite leave the waiting for the disk to the system: what a power cut could cost can be made again."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _set_pragmas):
        event.listen(Engine, "connect", _set_pragmas)


def _set_pragmas(connection: Any, _: Any) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous=OFF")


def _hash(something: Any) -> str:
    return hashlib.sha256(json.dumps(something, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _file_hash(content: bytes | Path) -> str:
    """Of a file in DVC's cache, its path: it is named by its own hash."""
    return hashlib.sha256(content).hexdigest()[:16] if isinstance(content, bytes) else str(content.name)
