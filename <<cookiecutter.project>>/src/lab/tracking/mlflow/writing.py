"""A run on its way into MLflow, which keeps points and params for ever: what is there is never sent again.

What is written carries tags that say how far it is:

    mlflow.mirror.sent      what was sent: how many points, and hashes of these, of the params and of the artifacts; and
                            the id of the run that they were sent to, by which a copy of another program's is known
    mlflow.mirror.digest    written last, when all is there: while it is as it should be, there is nothing to do
    mirror.replaced         why the run took another's place

MLflow's pages show no tag whose name begins with mlflow: what is there for programs alone has such a name.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.tracking.mlflow.errors import of_artifacts, translated
from lab.tracking.run import Point, Run
from lab.tracking.sink import Report, Trouble

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Stored

PARENT, CHILD, DESIGN = "design.id", "dvc.exp.id", "design"  # the tags by which runs are found
DIGEST, SENT, REPLACED = "mlflow.mirror.digest", "mlflow.mirror.sent", "mirror.replaced"
FOLDED = ("machine.",)  # tags that pages need not show
FORMER = ("mirror.digest", "mirror.sent", *FOLDED)  # what is called otherwise now
PASSING = ("failure", "infinite", "reused", "superseded.by", "best.", "verdict", *FORMER)  # that may no longer hold
BATCH, PAIRS = 1000, 100  # the most that one request takes, and of these the most params and tags each
LONG = 10.0  # seconds that a store of artifacts may let a pass wait before it fails; once


@dataclass
class Attachments:
    """What a pass knows of the store of artifacts at `place`, a folder or a server.

    `down` says why it is not asked again.
    """

    place: str
    down: str = ""


def is_current(stored: Stored, digest: str) -> bool:
    """Whether all that the digest stands for was sent to this very run."""
    return digest_of(stored) == digest


def digest_of(stored: Stored) -> str:
    """What stands for all that was sent to this very run; empty where it isn't all there."""
    return "" if _is_copy(stored) else stored.data.tags.get(DIGEST, "")


def _is_copy(stored: Stored) -> bool:
    """Whether another program made it, tags and all (mlflow-export-import does): nobody knows what it left out."""
    run_id = stored.info.run_id
    return bool(json.loads(stored.data.tags.get(SENT, "{}")).get("run", run_id) != run_id)


class Writing:
    """A run on its way into MLflow. What keeps its artifacts away is reported: all else fails the pass.

    Args:
        client: MLflow's.
        experiment: the id of the experiment that it belongs to.
        attachments: what the pass knows of the store of artifacts.
        run: what is to be there.
        tag: PARENT or CHILD: the tag that holds its key.
        birth: tags that it has from its first moment on.
        retire: deletes a run in favour of another.
        report: what was done is noted there.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        attachments: Attachments,
        run: Run,
        tag: str,
        birth: Mapping[str, str],
        retire: Callable[[Stored, Stored], None],
        report: Report,
    ):
        self.client, self.experiment, self.attachments = client, experiment, attachments
        self.run, self.tag, self.retire, self.report = run, tag, retire, report
        self.tags = _tags(run) | dict(birth)

    def write(self, stored: Stored | None, digest: str) -> Stored:
        """Bring the stored run up to date, or make it. Returns it as it was before, or as it was made."""
        run = self.run
        stored, sent = self._begin(stored)
        run_id = stored.info.run_id
        points, params = self._log(stored, sent["points"])
        if (stored.info.status, stored.info.end_time) != (run.status, run.end):
            self._settle(run_id)
        for key in stored.data.tags:
            if key.startswith(PASSING) and key not in self.tags:
                self.client.delete_tag(run_id, key)
        files = _hash({path: _file_hash(content) for path, content in run.artifacts.items()})
        done = sent | {"points": len(run.points), "hash": _hash(run.points), "run": run_id}
        tags = {key: value for key, value in self.tags.items() if stored.data.tags.get(key) != value}
        if files != sent["files"]:  # the figures first: a store of artifacts may let us wait
            self._log_batch(run_id, points, params, tags | {SENT: json.dumps(done)})
            points, params, tags = [], {}, {}
            if not self._attach(stored):
                return stored
        tags[SENT] = json.dumps(done | {"files": files})
        if digest:
            tags[DIGEST] = digest
        # Last of all; MLflow itself writes the tags of a request last: whoever finds the digest finds everything.
        self._log_batch(run_id, points, params, tags)
        return stored

    def _begin(self, stored: Stored | None) -> tuple[Stored, dict[str, Any]]:
        """The run to write to, and what it has been sent: the stored one, or a new one."""
        nothing = {"params": _hash(self.run.params), "points": 0, "hash": _hash([]), "files": ""}
        if stored is None:
            self.report.created += 1
            return self._create(self.tags | {SENT: json.dumps(nothing)}), nothing
        if SENT not in stored.data.tags:  # whoever made it was killed
            return stored, nothing
        sent = json.loads(stored.data.tags[SENT])
        why = self._changed(stored, sent, nothing["params"])
        if why:
            return self._replace(stored, why, nothing), nothing
        self.report.updated += 1
        if stored.data.tags.get(self.tag) != self.run.key:
            self.report.messages.append(f"{stored.info.run_name} is called {self.run.name} now")
        return stored, sent

    def _changed(self, stored: Stored, sent: Mapping[str, Any], params: str) -> str:
        """Why the stored run can't become this one."""
        if _is_copy(stored):
            return "it was copied there by another program"
        if self.tag == CHILD and stored.info.start_time != self.run.start:
            return "it was started anew"
        if sent["params"] != params:
            return "its params have changed"
        if sent["hash"] != _hash(self.run.points[: sent["points"]]):
            return "what it measured has changed"
        return ""

    def _create(self, tags: Mapping[str, str]) -> Stored:
        return self.client.create_run(self.experiment, self.run.start, dict(tags), self.run.name)

    def _replace(self, old: Stored, why: str, sent: Mapping[str, Any]) -> Stored:
        """A new run in the place of an old one."""
        self.report.messages.append(f"{self.run.name}: {why}, so its run in MLflow was made anew")
        self.report.created += 1
        new = self._create(self.tags | {SENT: json.dumps(sent), REPLACED: f"{why}; before it was {old.info.run_id}"})
        self.retire(old, new)
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

    def _attach(self, stored: Stored) -> bool:
        """Send the artifacts. Whether it was possible: no store of theirs may keep the figures from being seen."""
        if not self.run.artifacts:
            return True
        begun = time.monotonic()
        try:
            if self.attachments.down:
                raise Trouble(self.attachments.down)
            with translated("the folder for temporary files"), tempfile.TemporaryDirectory() as folder:
                for path, content in self.run.artifacts.items():
                    place = Path(folder, path)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if isinstance(content, bytes):
                        place.write_bytes(content)
                    else:
                        place.symlink_to(content.resolve())
                with of_artifacts(stored.info.artifact_uri or "", self.attachments.place):
                    self.client.log_artifacts(stored.info.run_id, folder)
        except Trouble as trouble:
            if time.monotonic() - begun > LONG:
                self.attachments.down = str(trouble)
            self.report.problems.append(f"the artifacts of {self.run.name} were not taken: {trouble}")
            return False
        return True

    def _settle(self, run_id: str) -> None:
        """Set status and end."""
        if self.run.end is None:
            self.client.update_run(run_id, self.run.status)
        else:
            self.client.set_terminated(run_id, self.run.status, self.run.end)


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
    own = {f"mlflow.{key}" if key.startswith(FOLDED) else key: value for key, value in run.tags.items()}
    return own | {key: value for key, value in tags.items() if value}


def _hash(something: Any) -> str:
    return hashlib.sha256(json.dumps(something, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _file_hash(content: bytes | Path) -> str:
    """Of a file in DVC's cache, its path: it is named by its own hash."""
    return hashlib.sha256(content).hexdigest()[:16] if isinstance(content, bytes) else str(content.name)
