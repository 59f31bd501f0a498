"""A run in a cluster's queue: where it stands by what its node has noted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.execution.cluster.queue_refs import Entry
from lab.git import experiment_ref
from lab.study import FAILED, QUEUED, RUNNING

PUBLISHED = ("done", "present")  # how a node ends whose experiment is on the git remote


@dataclass(frozen=True)
class Task:
    """A run in a cluster's queue: a `lab.records.pending.Pending`. `here`: its experiment is in this repository."""

    backend: str
    entry: Entry
    baseline: str
    folder: Path
    here: bool

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def commit(self) -> str:
        return self.entry.commit

    @property
    def ref(self) -> str:
        """Its experiment, here and on the git remote."""
        return experiment_ref(self.baseline, self.name)

    @cached_property
    def note(self) -> dict[str, Any]:
        """What its node says: state, node, taken, and in the end outcome, returncode and ended. Empty before."""
        return read_json(self.folder / "note.json")

    @property
    def published(self) -> bool:
        """Whether its node says that the experiment is on the git remote."""
        return self.note.get("outcome") in PUBLISHED

    @property
    def delivered(self) -> bool:
        return self.here or self.published

    @property
    def status(self) -> str:
        if self.note.get("state") == "over" and not self.delivered:
            return FAILED
        return RUNNING if self.note else QUEUED

    @property
    def node(self) -> str:
        return self.note.get("node", "")

    @property
    def taken(self) -> float:
        return self.note.get("taken", math.inf)

    @property
    def ended(self) -> float:
        return self.note.get("ended", math.inf)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def returncode(self) -> int | None:
        return self.note.get("returncode")


def read_json(path: Path) -> dict[str, Any]:
    """The content of a file that may be absent."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
