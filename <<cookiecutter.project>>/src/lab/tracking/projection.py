"""What a tracking server is shown: of each design a parent run, and of each of its experiments a child.

Pure: it reads studies and records, and knows no server. The same records give the same runs on any clone and at any time, so
that a store that was lost can be made again. Two clones agree on what a run is by its key:

    a parent   `design.id`   the design's name
    a child    `dvc.exp.id`  <first 12 digits of the baseline>/<experiment's name>

An experiment that answers for a second design has a child there, too; its key ends in `@<design>`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lab import nested_keys
from lab.analysis import estimates, gate, per_image, verdict
from lab.design.models import AblationDesign, ComparisonDesign, Design, SweepDesign
from lab.records.record import FAILED, FINISHED, QUEUED, RUNNING, Record
from lab.records.study import Row, Study, merit, minimized
from lab.report import frame, report, tables
from lab.report.figures import pictures
from lab.tracking import outputs, text

VERSION = 1  # of this projection: what an older one has sent is sent again
KILLED_BY = {code for signal in (1, 2, 9, 15) for code in (-signal, 128 + signal)}  # told by Python, and by shells
SHOWN = ("mAP50", "mAP50_95", "f1_macro", "accuracy")  # the best run's, beside the design's own metrics


class Point(NamedTuple):
    """A metric's value: `time` in milliseconds since the epoch, `step` the epoch, counted from 0."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class Dataset:
    """What a run read: `digest` is DVC's md5, `source` says where DVC has it."""

    name: str
    digest: str
    source: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A run as a server shows it. `start` and `end` in milliseconds since the epoch; `end` is None while it runs.

    `points` grow at their end and never change, unless it is another run by now. `artifacts` are the files' content by
    path. `commit`, `branch`, `user` and `source`, the repository's address, are git's. A design's run names the `metrics`
    and the params (`factors`) that a table of its children should show, and whether the first metric is best when small.
    """

    key: str
    name: str
    status: str
    start: int
    end: int | None = None
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""
    artifacts: dict[str, bytes | Path] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    commit: str = ""
    branch: str = ""
    user: str = ""
    source: str = ""
    metrics: list[str] = field(default_factory=list)
    factors: list[str] = field(default_factory=list)
    ascending: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What the runs of a project have in common.

    Attributes:
        branches: of each baseline commit, the branch that it is on.
        authors: of each baseline commit, its author.
        source: the git repository's address.
        remote: DVC's default remote.
        secrets: texts that must not be sent.
        upload_models: whose models are copied: `none`, `all`, or the `best` run's, to the design's own.
    """

    branches: Mapping[str, str] = field(default_factory=dict)
    authors: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    remote: str = ""
    secrets: Sequence[str] = ()
    upload_models: str = "none"


@dataclass(frozen=True)
class Member:
    """An experiment's place in a design; `superseded` is the key of the one that has taken it, or why it has none."""

    study: Study
    around: Surroundings
    record: Record
    arm: str
    seed: int
    levels: dict[str, Any]
    reused: bool = False
    superseded: str = ""

    @property
    def own(self) -> bool:
        """Whether it was run for this design."""
        return self.record.experiment.get("design") == self.study.design.name

    @property
    def key(self) -> str:
        """What tells it from all other runs."""
        plain = f"{self.record.baseline[:12]}/{self.record.name}"
        return plain if self.own else f"{plain}@{self.study.design.name}"

    @property
    def revision(self) -> str:
        """The experiment's commit; empty before it has finished."""
        return self.record.commit if self.record.status == FINISHED else ""

    @cached_property
    def digest(self) -> str:
        """Changes when there is something to send. Cheap: of a finished run nothing is read, its commit says it all."""
        record = self.record
        state: list[Any] = [VERSION, self.key, record.status, record.commit, self.arm, self.reused, self.superseded]
        if record.status != FINISHED:
            state += [record.started, record.ended, {name: len(points) for name, points in record.curves.items()}]
        return _hash([*state, self._role, self.around.upload_models])

    @property
    def name(self) -> str:
        """`quant-openvino_int8-s0` in a comparison of quantizations; otherwise the experiment's."""
        design = self.study.design
        if isinstance(design, ComparisonDesign) and design.comparison.variable == "quant":
            return f"quant-{self.arm}" + (f"-s{self.seed}" if len(design.seeds) > 1 else "")
        return self.record.name

    @property
    def start(self) -> int:
        """When it started, in milliseconds."""
        return milliseconds(self.record.started)

    @property
    def _role(self) -> str:
        return "baseline" if self.arm in (self.study.reference, "baseline") else "experiment"

    def run(self) -> Run:
        """Everything about it."""
        record = self.record
        finals = _final_points(record)
        curves = [
            Point(name, point.value, milliseconds(point.time), point.step)
            for name, points in record.curves.items()
            for point in points
        ]
        named = text.names(dict.fromkeys(point.key for point in (*curves, *finals)))
        points = [
            Point(named[point.key], point.value, point.time, point.step)
            for point in (
                *sorted(curves, key=lambda point: (point.step, point.key)),
                *sorted(finals, key=lambda point: point.key),
            )
        ]
        infinite = sorted({point.key for point in points if math.isinf(point.value)})
        params, long = _params(record.params)
        tags = self._tags() | _machine(record) | _model(record, self.around.remote)
        if infinite:
            tags["infinite"] = ", ".join(infinite)  # MLflow would keep the largest float in their place
        scrub = self._scrub
        return Run(
            key=self.key,
            name=self.name,
            status=status(record),
            start=self.start,
            end=None if record.status == RUNNING else max(self.start, milliseconds(record.ended)),
            params={name: scrub(value) for name, value in params.items()},
            points=[point for point in points if not math.isinf(point.value)],
            tags={
                name: text.cut(scrub(str(value)), text.TAG) for name, value in tags.items() if value not in (None, "")
            },
            note=text.cut(scrub(self._note()), text.TAG),
            artifacts=scrubbed(self._artifacts(long), self.around.secrets),
            datasets=_datasets(record, self.around.remote),
            commit=record.baseline,
            branch=self.around.branches.get(record.baseline, ""),
            user=self.around.authors.get(record.baseline, ""),
            source=self.around.source,
        )

    def _scrub(self, something: str) -> str:
        return text.scrub(something, self.around.secrets)

    def _tags(self) -> dict[str, Any]:
        """What it is, to filter and to group by."""
        record, params = self.record, self.record.params
        seeds = self.study.design.seeds
        return {
            "design": self.study.design.name,
            "design.type": self.study.design.type,
            "arm": self.arm,
            "seed": self.seed,
            "replicate": seeds.index(self.seed) if self.seed in seeds else None,
            "role": self._role,
            "model": (params.get("model") or {}).get("name"),
            "size": (params.get("data") or {}).get("image_size"),
            "aug": (params.get("augmentation") or {}).get("name"),
            "dvc.exp.id": self.key,
            "dvc.exp.name": record.name,
            "dvc.exp.rev": self.revision,
            "git.baseline": record.baseline,
            "git.branch": self.around.branches.get(record.baseline),
            "failure": record.reason,
            "reused": "true" if self.reused else None,
            "superseded.by": self.superseded,
            **labels(self.study, self.arm, self.levels, record.experiment.get("index")),
        }

    def _note(self) -> str:
        """The run's own page: what it answers, what came out, and how to have it again."""
        record = self.record
        lines = [f"**{self.arm}**, seed {self.seed}, of *{self.study.design.title}*", ""]
        found = {name: record.value(name) for name in self.study.metrics}
        lines += [f"- {name}: {value:.4g}" for name, value in found.items() if value is not None]
        lines += [f"- failed: {record.reason}"] if record.reason else []
        if record.status == FINISHED:
            lines += ["", f"`{record.checkout}`"]
        return "\n".join(lines)

    def _artifacts(self, long: Mapping[str, str]) -> dict[str, bytes | Path]:
        """Small files, of fixed names: the run's page, its tables and pictures, what it ran with, its log's end."""
        record = self.record
        texts = {f"params/{name}.txt": value for name, value in long.items()}
        row = Row(self.arm, self.levels, self.seed, record, self.reused)
        texts["run.md"] = report.fragment(self.study, row)
        if record.status == FAILED and record.log:
            texts["log.txt"] = record.log + "\n"
        found: dict[str, bytes | Path] = {path: content.encode() for path, content in texts.items()}
        if record.status == FINISHED:
            found |= outputs.small(record)
        if self.around.upload_models == "all":
            found |= outputs.models(record)
        return found


@dataclass(frozen=True)
class Projection:
    """A design as servers show it."""

    study: Study
    members: list[Member]
    around: Surroundings

    @property
    def key(self) -> str:
        """What tells its parent run from all others."""
        return self.study.design.name

    @cached_property
    def digest(self) -> str:
        """Changes when anything of the design does."""
        rows = [[row.arm, row.seed, row.status] for row in self.study.rows]
        return _hash([VERSION, self.study.digest, self.study.text, rows, [member.digest for member in self.members]])

    @property
    def start(self) -> int:
        """When its first run started."""
        return min(member.start for member in self.members)

    @property
    def active(self) -> bool:
        """Whether some of it is still to come."""
        return any(row.status in (QUEUED, RUNNING) for row in self.study.rows)

    @cached_property
    def best(self) -> Member | None:
        """Of the arm that is best on the mean the run that is nearest to it: what it delivers, not its luckiest seed."""
        metric = next(iter(self.study.metrics), "")
        found = [estimates.arm_result(self.study, arm, metric) for arm in self.study.arms]
        arm = estimates.best_of(found, merit(self.study.design, metric))
        row = gate.typical(self.study, arm.arm, metric) if arm else None
        return next((m for m in self.members if row and m.record == row.record and not m.superseded), None)

    def parent(self, ids: Mapping[str, str]) -> Run:
        """The design's own run; `ids` are its children's on the server, by key."""
        study, design, best = self.study, self.study.design, self.best
        extra, files = attachments(study)
        files = {path: self._scrubbed(path, content) for path, content in files.items()}
        if best is not None and self.around.upload_models == "best" and not self.active:
            files |= outputs.models(best.record)
        statuses = [row.status for row in study.rows]
        tags: dict[str, Any] = {
            "design.id": self.key,
            "design.kind": design.kind,
            "design.type": design.type,
            "design.digest": study.digest,
            "git.baseline": study.commit,
            "git.branch": self.around.branches.get(study.commit),
            "runs.finished": statuses.count(FINISHED),
            "runs.failed": statuses.count(FAILED),
            "runs.reused": sum(row.reused for row in study.rows),
            "runs.planned": len(statuses),
            **(labels(study, "", {}, None)),
            **extra,
        }
        points = []
        end = max((milliseconds(member.record.ended) for member in self.members if member.record.ended), default=None)
        if best is not None:
            tags |= {
                "best.run_id": ids.get(best.key),
                "best.run_name": best.name,
                "best.arm": best.arm,
                "best.seed": best.seed,
                "best.params": json.dumps(settings(design, best.arm, best.levels), ensure_ascii=False),
            }
            values = {name.partition(".")[2]: best.record.value(name) for name in _shown(study)}
            known = {f"best.{name}": value for name, value in values.items() if value is not None}
            tags |= {name: f"{value:.6g}" for name, value in known.items()}
            if not self.active:  # a point can't be taken back
                points = [Point(name, value, max(end or 0, self.start), 0) for name, value in sorted(known.items())]
        named = text.names([*(point.key for point in points), *tags])
        note = text.scrub(self._note(), self.around.secrets)
        return Run(
            key=self.key,
            name=design.name,
            status=self._status(statuses),
            start=self.start,
            end=None if self.active else max(end or 0, self.start),
            points=[Point(named[point.key], point.value, point.time, point.step) for point in points],
            tags={
                named[name]: text.cut(text.scrub(str(value), self.around.secrets), text.TAG)
                for name, value in tags.items()
                if value not in (None, "")
            },
            note=text.cut(note, text.TAG),
            artifacts=scrubbed(files, self.around.secrets),
            commit=study.commit,
            branch=self.around.branches.get(study.commit, ""),
            user=self.around.authors.get(study.commit, ""),
            source=self.around.source,
            metrics=list(text.names(study.metrics).values()),
            factors=[name for name in design.factors() if "." in name or name in ("lr", "seed")],
            ascending=minimized(design, next(iter(study.metrics), "")),
        )

    def _scrubbed(self, path: str, content: bytes | Path) -> bytes | Path:
        if isinstance(content, Path) or path.endswith(".png"):
            return content
        return text.scrub(content.decode(), self.around.secrets).encode()

    def _status(self, statuses: Sequence[str]) -> str:
        if self.active:
            return "RUNNING"
        return "FAILED" if FAILED in statuses and FINISHED not in statuses else "FINISHED"

    def _note(self) -> str:
        """The best first: MLflow folds what is longer than three lines."""
        study, design, best = self.study, self.study.design, self.best
        lines = []
        if best is not None:
            values = ", ".join(f"{name} {best.record.value(name):.4g}" for name in study.metrics[:1])
            lines.append(f"**Best: {best.arm}** (seed {best.seed}): {values}")
        lines += ["", f"**{design.title}**"]
        if design.hypothesis:
            lines += ["", f"Hypothesis: {design.hypothesis.claim}"]
        return "\n".join([*lines, "", frame.markdown(study)]).strip()


def project(study: Study, known: Iterable[Record], around: Surroundings) -> Projection:
    """A study and what else was ever run for its design: the runs of earlier baselines, and those that were run again."""
    members = [
        Member(study, around, row.record, row.arm, row.seed, row.levels, row.reused)
        for row in study.rows
        if row.record is not None and _to_show(row.record)
    ]
    taken = {(member.arm, member.seed): member.key for member in members}
    there = {(member.record.baseline, member.record.name) for member in members}
    for record in known:
        block = record.experiment
        if block.get("design") != study.design.name or (record.baseline, record.name) in there or not _to_show(record):
            continue
        by = taken.get((block["arm"], block["seed"]), "the design has no such run any more")
        members.append(Member(study, around, record, block["arm"], block["seed"], block.get("levels", {}), False, by))
        there.add((record.baseline, record.name))
    return Projection(study, members, around)


def _to_show(record: Record) -> bool:
    """What is queued has nothing to show, and what runs has it after its first epoch: before, nobody knows its start."""
    if record.status == RUNNING:
        return bool(record.curves)
    return record.status != QUEUED and record.started is not None


def scrubbed(files: Mapping[str, bytes | Path], secrets: Sequence[str]) -> dict[str, bytes | Path]:
    """Files as they may be sent: texts, tables and pictures without secrets; models as they are."""
    return {
        path: text.scrub_bytes(content, secrets) if isinstance(content, bytes) else content
        for path, content in files.items()
    }


def attachments(study: Study) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
    """Tags and files of the parent run beyond what every design has: the question, what came out, and what that means.

    The verdict, the report and its figures come when no run is left to wait for.
    """
    page = f"# {study.design.title}\n\n{frame.markdown(study)}\n"
    contents = {"design.yaml": study.text, "results.csv": frame.as_csv(frame.rows(study)), "results.md": page}
    files: dict[str, bytes | Path] = {path: content.encode() for path, content in contents.items()}
    if any(row.status in (QUEUED, RUNNING) for row in study.rows):
        return {}, files
    judged = verdict.judge(study, per_image.read(study))
    drawn = pictures(study, judged)
    place = report.name(study)
    files["report.md"] = report.markdown(study, judged, drawn).replace(f"({place}/", "(report/").encode()
    files["report/table.csv"] = report.as_csv(tables.table(study, judged)).encode()
    for picture in drawn:
        if picture.png is not None and picture.data is not None:
            files[f"report/{picture.name}.png"] = picture.png
            files[f"report/{picture.name}.csv"] = report.as_csv(picture.data).encode()
    return {"verdict": judged.outcome, "verdict.exploratory": "true" if judged.exploratory else None}, files


def settings(design: Design, arm: str, levels: Mapping[str, Any]) -> Mapping[str, Any]:
    """What makes an arm, by key: its levels, or where a comparison gives it a name its overrides."""
    values = design.comparison.values if isinstance(design, ComparisonDesign) else ()
    if not isinstance(values, Mapping):
        return levels
    overrides = values[arm]
    parts = (each.partition("=") for each in ([overrides] if isinstance(overrides, str) else overrides))
    return {key.lstrip("+~"): value for key, _, value in parts}


def labels(study: Study, arm: str, levels: Mapping[str, Any], index: int | None) -> dict[str, Any]:
    """What the design varies, and in a child what it is there: `sweep.…`, `comparison.…` or `ablation.…`."""
    design = study.design
    if isinstance(design, SweepDesign):
        return {"sweep.strategy": design.sweep.strategy, "sweep.index": index}
    if isinstance(design, ComparisonDesign):
        return {"comparison.variable": ",".join(design.factors()), "comparison.value": arm}
    if isinstance(design, AblationDesign) and levels:
        kept = [name for name, there in levels.items() if there]
        gone = [name for name in levels if name not in kept]
        if not kept or not gone:  # the arm with all of them, or with none
            return {"ablation.component": "all", "ablation.state": "disabled" if gone else "enabled"}
        if design.ablation.method == "add_one_in":
            return {"ablation.component": "+".join(kept), "ablation.state": "enabled"}
        return {"ablation.component": "+".join(gone), "ablation.state": "disabled"}
    return {}


def status(record: Record) -> str:
    """RUNNING, FINISHED, FAILED or KILLED."""
    if record.status == FAILED:
        code = record.exit_code if record.task is None or record.exit_code else record.task.process.get("returncode")
        return "KILLED" if code in KILLED_BY else "FAILED"
    return {RUNNING: "RUNNING", FINISHED: "FINISHED"}[record.status]


def milliseconds(time: datetime | None) -> int:
    """Since the epoch."""
    return 0 if time is None else round(time.timestamp() * 1000)


def _shown(study: Study) -> list[str]:
    """The metrics of a best run that its parent tells: the design's, and the usual ones of the stage."""
    return list(dict.fromkeys([*study.metrics, *(f"{study.design.target}.{name}" for name in SHOWN)]))


def _final_points(record: Record) -> list[Point]:
    """What each stage measured at its end, and how long it took."""
    last = max((point.step for points in record.curves.values() for point in points), default=0)
    ends = {
        stage: milliseconds(datetime.fromisoformat(entry["started"])) + round(entry["seconds"] * 1000)
        for stage, entry in record.effective.items()
    }
    fallback = milliseconds(record.ended)
    values = {
        (stem.removesuffix("_speed"), f"{stem}.{name}"): value
        for stem, content in record.metrics.items()
        for name, value in nested_keys.flat(content).items()
    }
    values |= {(stage, f"seconds.{stage}"): seconds for stage, seconds in record.seconds.items()}
    return [
        Point(name, float(value), ends.get(stage, fallback), last)
        for (stage, name), value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _params(params: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The composed config by dotted keys, and in full what is too long for a param."""
    flat = nested_keys.flat({name: value for name, value in params.items() if name != "experiment"})
    open_ones = {name: text.value(value) for name, value in flat.items() if not text.is_secret(name)}
    named = text.names(open_ones)
    long = {named[name]: value for name, value in open_ones.items() if len(value) > text.PARAM}
    return {
        named[name]: text.cut(value, text.PARAM, f"all of it in the artifact params/{named[name]}.txt")
        for name, value in open_ones.items()
    }, long


def _machine(record: Record) -> dict[str, Any]:
    """What the last stage ran on."""
    machine = dict(next(reversed(record.effective.values()), {}).get("machine", {}))
    machine["versions"] = json.dumps(machine["versions"]) if machine.get("versions") else None
    machine["gpu"] = ", ".join(machine.pop("gpus", []))
    return {f"machine.{name}": value for name, value in machine.items()}


def _model(record: Record, remote: str) -> dict[str, Any]:
    """Where DVC has the models: path, hash and size, in place of a copy."""
    tags = {}
    for path, name in {"models/model.pt": "model", "models/quant": "model.quant"}.items():
        out = record.outputs.get(path)
        if out:
            tags |= {f"{name}.path": path, f"{name}.md5": out.get("md5"), f"{name}.size": out.get("size")}
            tags["model.remote"] = remote
    return tags


def _datasets(record: Record, remote: str) -> list[Dataset]:
    """The prepared data."""
    out = record.outputs.get("data/prepared")
    if not out or not out.get("md5"):
        return []
    name = str((record.params.get("data") or {}).get("name") or "prepared")
    source = {"path": "data/prepared", "md5": out["md5"], "remote": remote}
    return [Dataset(name, str(out["md5"]), source)]


def _hash(something: Any) -> str:
    return hashlib.sha256(json.dumps(something, sort_keys=True, default=str).encode()).hexdigest()[:16]
