"""A run whose record can't be read: it has a place in every table, says why, and answers nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.records.git_record import GitRecord
from lab.study import Point


@dataclass(frozen=True)
class Unreadable(GitRecord):
    """Such a run. It is UNREADABLE or, where a backend is about to carry it out, QUEUED or RUNNING as that says.

    `fault` is what is wrong, and `block` as much as is known of what it belongs to.
    """

    fault: str = ""
    block: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def reason(self) -> str:
        return f"{self.fault}. {self.remedy}" if self.remedy else self.fault

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.commit == self.baseline:
            return ""  # history, which nobody can change
        remove = "dvc exp remove" if self.pending is None else "dvc queue remove"
        return f"To have it run anew: {remove} {self.name}, then lab run"

    @property
    def experiment(self) -> dict[str, Any]:
        return self.block

    @property
    def params(self) -> dict[str, Any]:
        return {}

    @property
    def key(self) -> str:
        return ""

    @property
    def stage(self) -> str:
        return ""

    def code_of(self, stage: str) -> str:
        return ""

    @property
    def data(self) -> str | None:
        return None

    def reaches(self, stage: str) -> bool:
        return False

    @property
    def started(self) -> datetime | None:
        return None

    @property
    def ended(self) -> datetime | None:
        return None

    @property
    def curves(self) -> dict[str, list[Point]]:
        return {}

    @property
    def checkout(self) -> str:
        return ""
