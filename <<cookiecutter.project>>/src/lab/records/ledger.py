"""The ledger of promotions: each test of an arm against the champion, won or lost, in git beside the champion.

    models/champion/ledger.yaml

What is lost counts as well: of twenty designs that change nothing, one would win by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from lab import yaml12
from lab.analysis import online
from lab.errors import UserError
from lab.records.champion import FOLDER

if TYPE_CHECKING:
    from lab.records.project import Project

LEDGER = FOLDER / "ledger.yaml"


class Entry(BaseModel):
    """A test at the gate.

    Attributes:
        day: when.
        design, digest, arm: what was to be promoted.
        experiment: the run of it.
        against: the experiment that was the champion; None where there was none, and so no test.
        seeds: how many it was measured with.
        chosen_from: how many arms it was chosen from; p is corrected for them.
        p: one-sided, of the champion being as good; None without a test.
        level: what p had to stay below.
        looks: how many designs had been measured on these test items by then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    day: date
    design: str
    digest: str
    arm: str
    experiment: str
    against: str | None = None
    seeds: int
    chosen_from: int = 1
    p: float | None = None
    level: float | None = None
    looks: int

    @property
    def won(self) -> bool:
        """Whether it was a discovery."""
        return self.p is not None and self.level is not None and self.p <= self.level

    def same_test(self, other: Entry) -> bool:
        """Whether both are one test, asked for twice."""
        return all(
            getattr(self, field) == getattr(other, field) for field in ("digest", "arm", "against", "seeds", "p")
        )


def read(project: Project) -> list[Entry]:
    """The ledger as HEAD has it. Raises UserError for a file changed by hand."""
    text = project.git.text(project.head, str(LEDGER)) if project.head else ""
    try:
        return [Entry.model_validate(entry) for entry in (yaml12.load(text) or [] if text else [])]
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise UserError(
            f"{LEDGER} is not as lab promote writes it: git log -p {LEDGER} shows who changed it\n{error}"
        ) from error


def next_level(entries: Sequence[Entry]) -> float:
    """The level of the next test."""
    return online.level([entry.won for entry in entries if entry.p is not None])


def file(project: Project) -> Path:
    """Where it lies."""
    return project.root / LEDGER
