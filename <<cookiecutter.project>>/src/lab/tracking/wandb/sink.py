"""Runs put into Weights & Biases: a run for each experiment, grouped by design, and the design as one more.

There a run's id may be chosen, and a run that is written again replaces what was there. So a run is written as a whole
whenever anything of it has changed; a note on this machine says what has been written. `WANDB_MODE=offline` writes to
wandb/ in the project, from where `wandb sync` sends it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.tracking import settings, text
from lab.tracking.run import Run
from lab.tracking.sink import Design, Report, Trouble

TAG = 64  # the most characters of one


def create(root: Path, chosen: settings.Settings) -> WandbSink:
    """The sink of the project at `root`. Raises UserError where the package is missing."""
    if find_spec("wandb") is None:
        raise UserError("conf/tracking.yaml: backends: wandb is not installed: pip install wandb, or leave it out")
    return WandbSink(root, chosen.experiment)


class WandbSink:
    """The runs of one W&B project; what they leave on disk lies below `root`."""

    name = "wandb"

    def __init__(self, root: Path, project: str):
        self.root, self.project = root, project
        self.written: dict[str, dict[str, str]] = {}

    @property
    def place(self) -> str:
        """Where the runs are, for people."""
        return f"W&B, project {self.project}" + (" (offline: wandb sync wandb/offline-run-*)" if _offline() else "")

    @property
    def note(self) -> Path:
        """The file that says what has been written."""
        return settings.folder(self.root) / "wandb.json"

    def state(self) -> str:
        """What `begin` reads says enough."""
        return ""

    def begin(self) -> None:
        """Read what has been written. Raises Trouble where nobody is logged in."""
        wandb = _wandb()
        if not _offline() and not wandb.login(prompt=False, verify=False):
            raise Trouble("W&B knows no WANDB_API_KEY (in the environment, or in .env): set it, or WANDB_MODE=offline")
        try:
            self.written = json.loads(self.note.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self.written = {}

    def has(self, design: Design) -> bool:
        """Whether a design has been written just as it is now."""
        return self._has(_design(design.key), design.digest)

    def _has(self, key: str, digest: str) -> bool:
        entry = self.written.get(key, {})
        return entry.get("digest") == digest and (not entry["folder"] or Path(entry["folder"]).is_dir())

    def send(self, design: Design) -> Report:
        """Write what has changed. Raises Trouble."""
        report = Report()
        for member in design.members:
            if not self._has(member.key, member.digest):
                self._write(member.run(), member.key, member.digest, design.key, report)
        ids = {member.key: self._id(member.key) for member in design.members}
        self._write(design.parent(ids), _design(design.key), design.digest, design.key, report)
        return report

    def gone(self, designs: Iterable[Design]) -> dict[str, str]:
        """The runs that no experiment stands behind any more: their keys, with what they are called."""
        known = {key for design in designs for key in (_design(design.key), *(member.key for member in design.members))}
        return {key: f"W&B: {key}" for key in self.written if key not in known}

    def delete(self, ids: Iterable[str]) -> None:
        """Delete runs: their folders and, online, what is on the server. Raises Trouble."""
        wandb = _wandb()
        for key in ids:
            if not _offline():
                with translated():
                    wandb.Api().run(f"{self.project}/{self._id(key)}").delete()
            self._forget(self.written.pop(key))
            self._save()

    def _write(self, run: Run, key: str, digest: str, group: str, report: Report) -> None:
        """One run, from its beginning to its end."""
        wandb = _wandb()
        before = self.written.get(key)
        with translated():
            written = wandb.init(
                project=self.project,
                dir=str(self.root),
                id=self._id(key),
                name=run.name,
                group=group,
                job_type="design" if key == _design(group) else run.tags.get("design.type"),
                tags=_tags(run),
                config={**run.params, **run.tags, **_times(run)},
                notes=run.note,
                reinit="finish_previous",
                settings=wandb.Settings(
                    console="off",
                    disable_git=True,
                    silent=True,
                    x_disable_stats=True,
                    x_disable_meta=True,
                ),
            )
            for path, content in run.artifacts.items():
                place = Path(written.dir, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, bytes):
                    place.write_bytes(content)
                else:
                    shutil.copy(content, place)
                written.save(str(place), base_path=written.dir, policy="now")
            for step, (time, values) in _steps(run, _media(run, Path(written.dir))).items():
                written.log({**values, "_timestamp": time / 1000}, step=step)
            written.finish(exit_code=0 if run.status in ("FINISHED", "RUNNING") else 1)
            place = Path(written.dir).parent
            self.written[key] = {"digest": digest, "folder": str(place) if _offline() else ""}
            if before is not None and before["folder"] != str(place):
                self._forget(before)
            self._save()
        report.created += before is None
        report.updated += before is not None

    def _id(self, key: str) -> str:
        """A run's id: the same wherever it is written."""
        return hashlib.sha256(f"{self.project}/{key}".encode()).hexdigest()[:16]

    def _forget(self, entry: dict[str, str]) -> None:
        """Delete the folder of a run that was written offline."""
        if entry["folder"]:
            shutil.rmtree(entry["folder"], ignore_errors=True)

    def _save(self) -> None:
        part = self.note.with_suffix(".part")
        part.write_text(json.dumps(self.written))
        part.replace(self.note)


def _wandb() -> Any:
    """The package: an extra that most projects are without."""
    return import_module("wandb")


@contextmanager
def translated() -> Iterator[None]:
    """Make of W&B's errors one line for a person."""
    wandb = _wandb()
    try:
        yield
    except (wandb.errors.Error, OSError) as error:
        raise Trouble(f"W&B: {text.cut(' '.join(str(error).split()), 300)}") from error


def _design(key: str) -> str:
    """The key of a design's own run: an experiment's has a baseline's hash before the slash."""
    return f"design/{key}"


def _offline() -> bool:
    return os.environ.get("WANDB_MODE") in ("offline", "dryrun")


def _tags(run: Run) -> list[str]:
    """`baseline` or `experiment`, and the labels: `arm:0.1`, `seed:0`, …"""
    role = [run.tags["role"]] if "role" in run.tags else []
    labels = (f"{name}:{run.tags[name]}" for name in run.labels if name in run.tags)
    return [text.cut(tag, TAG) for tag in (*role, *labels)]


def _times(run: Run) -> dict[str, str]:
    """When it started and ended, which W&B lets nobody set: its own start is that of the writing."""
    times = {"started": run.start, "ended": run.end}
    return {name: datetime.fromtimestamp(time / 1000, UTC).isoformat() for name, time in times.items() if time}


def _media(run: Run, folder: Path) -> dict[str, Any]:
    """The report and the pictures, which lie in `folder`, as panels of the run's page: a file alone is a download."""
    wandb, media = _wandb(), {}
    for path in map(Path, run.artifacts):
        if path.suffix == ".html":
            media[path.with_suffix("").as_posix()] = wandb.Html(str(folder / path), inject=False)
        elif path.suffix == ".png":
            media[path.with_suffix("").as_posix()] = wandb.Image(str(folder / path))
    return media


def _steps(run: Run, at_last: Mapping[str, Any]) -> dict[int, tuple[int, dict[str, Any]]]:
    """The points by step, and what comes with the last one: the time of the last point, and the values."""
    times: dict[int, int] = defaultdict(int)
    values: dict[int, dict[str, Any]] = defaultdict(dict)
    for point in run.points:
        values[point.step][point.key] = point.value
        times[point.step] = max(point.time, times[point.step])
    if at_last:
        last = max(values, default=0)
        values[last] |= at_last
        times[last] = times[last] or run.start
    return {step: (times[step], values[step]) for step in sorted(values)}
