"""The ledger of promotions: each test of an arm against the champion, won or lost, in git beside the champion.

    models/champion/ledger.yaml

What is lost counts as well: of twenty designs that change nothing, one would win by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from lab import yaml12
from lab.analysis import online
from lab.errors import UserError
from lab.records.champion import FOLDER

if TYPE_CHECKING:
    from lab.records.project import Project

LEDGER = FOLDER / "ledger.yaml"


class Opened(BaseModel):
    """The final split opened for a test (`final` of lab.yaml).

    Attributes:
        items: how many it has.
        data: the version of the data that it is of.
        looks: how many other tests it had been opened for before.
        metric: what was measured on them.
        arm, champion: its values, by seed.
        p: one-sided, of these alone; None for what is counted.
        test_p: that of the test split, which had to be won before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: int
    data: str | None
    looks: int
    metric: str
    arm: dict[int, float]
    champion: dict[int, float]
    p: float | None = None
    test_p: float | None = None


class Entry(BaseModel):
    """A test at the gate.

    Attributes:
        day: when.
        design, digest, arm: what was to be promoted.
        experiment: the run of it.
        against: the experiment that was the champion; None where there was none, and so no test.
        seeds: how many it was measured with.
        chosen_from: how many arms it was chosen from; p is corrected for them.
        p: one-sided, of the champion being as good; None without a test. Where the final split was opened, both splits
            had to show it, and p is the larger of theirs.
        level: what p had to stay below.
        looks: how many designs had been measured on these test items by then.
        final: what the final split said, where it was opened.
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
    final: Opened | None = None

    @property
    def test_p(self) -> float | None:
        """p on the test split alone."""
        return self.final.test_p if self.final else self.p

    @property
    def won(self) -> bool:
        """Whether it was a discovery."""
        return self.p is not None and self.level is not None and self.p <= self.level

    def same_test(self, other: Entry) -> bool:
        """Whether both are one test, asked for twice."""
        return all(
            getattr(self, field) == getattr(other, field) for field in ("digest", "arm", "against", "seeds", "test_p")
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


def written(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """What the file says of them."""
    dumped = [entry.model_dump(mode="json") for entry in entries]
    return [{key: value for key, value in entry.items() if key != "final" or value} for entry in dumped]


def file(project: Project) -> Path:
    """Where it lies."""
    return project.root / LEDGER
