"""An experiment as a child of a design's run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import nested_keys, secrets
from lab.design.plan import MEMBERSHIP
from lab.markdown import code, plain
from lab.nested_keys import as_float
from lab.study import FAILED, FINISHED, KILLED, RUNNING, Replicate, Study
from lab.tracking import outputs, text
from lab.tracking.projection import labels
from lab.tracking.run import Dataset, Point, Run

if TYPE_CHECKING:
    from lab.tracking.pages import Pages
    from lab.tracking.surroundings import Surroundings

VERSION = 3  # of this projection: what an older one has sent is sent again


@dataclass(frozen=True)
class Member:
    """An experiment's place in a design; `superseded` is the key of the one that has taken it, or why it has none."""

    study: Study
    around: Surroundings
    pages: Pages
    replicate: Replicate
    superseded: str = ""

    @property
    def record(self) -> Any:
        """The experiment."""
        return self.replicate.record

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
        return self.record.commit if self.replicate.finished else ""

    @property
    def digest(self) -> str:
        """Changes when there is something to send. Cheap: of a finished run nothing is read, its commit says it all."""
        record, replicate = self.record, self.replicate
        state: list[Any] = [VERSION, self.key, replicate.status, record.commit, replicate.arm, replicate.reused]
        state += [self.superseded, replicate.lacks]
        if not replicate.finished:
            state += [record.started, record.ended, {name: len(points) for name, points in record.curves.items()}]
        return hashed([*state, self._role, self.around.upload_models])

    @property
    def name(self) -> str:
        """What differs first, then the experiment's; or as the contract calls the runs of such a question."""
        template = self.study.question.run_name
        if not template:
            return text.cut(f"{self.replicate.arm}, seed {self.replicate.seed} ({self.record.name})", text.RUN_NAME)
        name = template.format(arm=self.replicate.arm, seed=self.replicate.seed)
        is_alone = len(self.study.design.seeds) == 1 or "{seed}" in template
        return name if is_alone else f"{name}-s{self.replicate.seed}"

    @property
    def start(self) -> int:
        """When it started, in milliseconds."""
        return milliseconds(self.record.started)

    @property
    def _role(self) -> str:
        return "baseline" if self.replicate.arm in (self.study.reference, "baseline") else "experiment"

    def run(self) -> Run:
        """Everything about it."""
        record, around = self.record, self.around
        points, infinite = _points(record)
        params, long = _params(record.params)
        tags = self._tags() | _machine(record) | self._models()
        tags["infinite"] = ", ".join(infinite)
        return Run(
            key=self.key,
            name=self.name,
            status="FAILED" if self.replicate.lacks else status(record),
            start=self.start,
            end=None if record.status == RUNNING else max(self.start, milliseconds(record.ended)),
            params={name: around.scrub(value) for name, value in params.items()},
            points=points,
            tags=around.tags(tags),
            note=text.cut(around.scrub(self._note()), text.TAG),
            artifacts=outputs.scrubbed(self._artifacts(long), around.secrets),
            datasets=self._datasets(),
            commit=record.baseline,
            branch=around.branches.get(record.baseline, ""),
            user=around.authors.get(record.baseline, ""),
            source=around.source,
            labels=[*self.study.contract.tags, *labels.LABELS],
        )

    def _tags(self) -> dict[str, Any]:
        """What it is, to filter and to group by."""
        record, replicate, design = self.record, self.replicate, self.study.design
        return {
            "design": design.name,
            "design.type": design.type,
            "arm": replicate.arm,
            "seed": replicate.seed,
            "replicate": design.seeds.index(replicate.seed) if replicate.seed in design.seeds else None,
            "role": self._role,
            **{tag: nested_keys.get(record.params, key) for tag, key in self.study.contract.tags.items()},
            "dvc.exp.id": self.key,
            "dvc.exp.name": record.name,
            "dvc.exp.rev": self.revision,
            "git.baseline": record.baseline,
            "git.branch": self.around.branches.get(record.baseline),
            "failure": replicate.trouble,
            "reused": "true" if replicate.reused else None,
            "superseded.by": self.superseded,
            **labels.question(design),
            **labels.answer(design, replicate.arm, replicate.levels, record.experiment.get("index")),
        }

    def _models(self) -> dict[str, Any]:
        """Where DVC has the models: path, hash and size, in place of a copy."""
        tags: dict[str, Any] = {}
        for path, tag in outputs.models_of(self.study.contract).items():
            out = self.record.outputs.get(path)
            if out:
                tags |= {f"{tag}.path": path, f"{tag}.md5": out.get("md5"), f"{tag}.size": out.get("size")}
                tags["model.remote"] = self.around.remote
        return tags

    def _datasets(self) -> list[Dataset]:
        """The prepared data."""
        known = self.study.contract.dataset
        out = self.record.outputs.get(known.output) if known else None
        if not known or not out or not out.get("md5"):
            return []
        name = nested_keys.get(self.record.params, known.name) if known.name else None
        source = {"path": known.output, "md5": out["md5"], "remote": self.around.remote}
        return [Dataset(str(name or Path(known.output).name), str(out["md5"]), source)]

    def _note(self) -> str:
        """The run's own page: what it answers, what came out, and how to have it again."""
        record, replicate = self.record, self.replicate
        lines = [f"**{plain(replicate.arm)}**, seed {replicate.seed}, of *{plain(self.study.design.title)}*", ""]
        values = {name: record.value(name) for name in self.study.metrics}
        lines += [f"- {plain(name)}: {value:.4g}" for name, value in values.items() if value is not None]
        lines += [f"- {replicate.status}: {plain(replicate.trouble)}"] if replicate.trouble else []
        if replicate.finished:
            lines += ["", code(record.checkout)]
        return "\n".join(lines)

    def _artifacts(self, long: Mapping[str, str]) -> dict[str, bytes | Path]:
        """Small files, of fixed names: the run's page, its tables and pictures, what it ran with, its log's end."""
        record = self.record
        texts = {f"params/{name}.txt": value for name, value in long.items()}
        texts["run.md"] = self.pages.run(self.study, self.replicate)
        if record.status == FAILED and record.log:
            texts["log.txt"] = record.log + "\n"
        files: dict[str, bytes | Path] = {path: content.encode() for path, content in texts.items()}
        if record.status == FINISHED:
            files |= outputs.small(self.study.contract, record)
            files |= {f"plots/{name}.png": picture for name, picture in self.pages.plots(self.study, record).items()}
        if self.around.upload_models == "all":
            files |= outputs.models(self.study, record)
        return files


def status(record: Any) -> str:
    """RUNNING, FINISHED, FAILED or KILLED."""
    if record.status == FAILED:
        code = record.exit_code or (record.pending.returncode if record.pending else None)
        return "KILLED" if code in KILLED else "FAILED"
    return {RUNNING: "RUNNING", FINISHED: "FINISHED"}[record.status]


def milliseconds(time: datetime | None) -> int:
    """Since the epoch."""
    return 0 if time is None else round(time.timestamp() * 1000)


def hashed(something: Any) -> str:
    """A hash of plain data."""
    return hashlib.sha256(json.dumps(something, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _points(record: Any) -> tuple[list[Point], list[str]]:
    """The curves by epoch and then what came out, and the names of those with infinite values.

    These are left out: MLflow would keep the largest float in their place.
    """
    curves = [
        Point(name, point.value, milliseconds(point.time), point.step + 1)
        for name, points in record.curves.items()
        for point in points
    ]
    last = max((point.step for point in curves), default=0)
    curves.sort(key=lambda point: (point.step, point.key))
    points = [*curves, *sorted(_final_points(record, last), key=lambda point: point.key)]
    names = text.names(dict.fromkeys(point.key for point in points))
    points = [point._replace(key=names[point.key]) for point in points]
    infinite = sorted({point.key for point in points if math.isinf(point.value)})
    return [point for point in points if not math.isinf(point.value)], infinite


def _final_points(record: Any, step: int) -> list[Point]:
    """What each stage measured at its end, and how long it took."""
    ends = {
        stage: milliseconds(datetime.fromisoformat(note["started"])) + round(note["seconds"] * 1000)
        for stage, note in record.effective.items()
    }
    makers = record.content.measured_by if record.metrics else {}
    values = {
        f"{file}.{name}": (value, makers.get(file))
        for file, content in record.metrics.items()
        for name, value in nested_keys.flat(content).items()
    }
    values |= {f"seconds.{stage}": (seconds, stage) for stage, seconds in record.seconds.items()}
    otherwise = milliseconds(record.ended)
    return [
        Point(name, as_float(value), ends.get(stage or "", otherwise), step)
        for name, (value, stage) in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _params(params: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The composed config by dotted keys, and in full what is too long for a param."""
    flat = nested_keys.flat({name: value for name, value in params.items() if name != MEMBERSHIP})
    public = {name: secrets.HIDDEN if secrets.is_secret(name) else text.value(value) for name, value in flat.items()}
    names = text.names(public)
    long = {names[name]: value for name, value in public.items() if len(value) > text.PARAM}
    return {
        names[name]: text.cut(value, text.PARAM, f"all of it in the artifact params/{names[name]}.txt")
        for name, value in public.items()
    }, long


def _machine(record: Any) -> dict[str, Any]:
    """What the last stage ran on."""
    machine = dict(next(reversed(record.effective.values()), {}).get("machine") or {})
    machine["versions"] = json.dumps(machine["versions"]) if machine.get("versions") else None
    machine["gpu"] = ", ".join(machine.pop("gpus", None) or [])
    return {f"machine.{name}": value for name, value in machine.items()}
