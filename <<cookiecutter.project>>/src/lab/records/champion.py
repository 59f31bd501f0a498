"""The champion as it stands: the model that a new result has to beat, and what was said of it when it was promoted.

    models/champion/champion.yaml     which experiment, what it measured, on which data, since when and why
    models/champion/champion.dvc      its files by their hashes, as its run left them in DVC's cache

A promotion is a commit, so that git has their history.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from lab import yaml12
from lab.errors import UserError
from lab.nested_keys import get

if TYPE_CHECKING:
    from lab.records.project import Project

FOLDER = Path("models/champion")
SAID, TRACKED = (FOLDER / name for name in ("champion.yaml", "champion.dvc"))
NAME = "champion"  # in a design, in place of a model


class Measured(BaseModel):
    """A metric of the champion's own run, and of its arm: the mean over seeds with its 95 % interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float | None
    mean: float
    low: float | None = None
    high: float | None = None
    seeds: int


class Forced(BaseModel):
    """Why it was promoted all the same, and against what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    objections: list[str]


class Champion(BaseModel):
    """What champion.yaml says. `revision` is the experiment's commit, `runs` those of its arm by seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str
    revision: str
    design: str
    arm: str
    seed: int
    why: str
    forced: Forced | None = None
    promoted: datetime
    replaces: str | None = Field(validation_alias=AliasChoices("replaces", "beats"))  # the latter until November 2026
    metrics: dict[str, Measured]
    baseline: str
    data: str | None
    code: str
    runs: dict[int, str]


def current(project: Project) -> Champion | None:
    """The champion as HEAD has it; None where there is none. Raises UserError for a file changed by hand."""
    text = project.git.text(project.head, str(SAID)) if project.head else ""
    return parsed(text) if text else None


def history(project: Project) -> list[Champion]:
    """All that were, as HEAD's commits have them, the latest first; without those that today's code can't read."""
    if project.head is None:
        return []
    known = []
    for commit in project.git.run("log", "--format=%H", project.head, "--", str(SAID)).split():
        with suppress(UserError):
            known.append(parsed(project.git.text(commit, str(SAID))))
    return known


def params(project: Project, champion: Champion) -> dict[str, Any]:
    """The composed config of its run; empty where this clone has not fetched it."""
    return project.commit(champion.revision).params if champion.revision in project.git else {}


def model(project: Project) -> str:
    """The commit whose run made the champion's model. Raises UserError where there is none."""
    champion = current(project)
    if champion is None:
        raise UserError("there is no champion yet: lab promote DESIGN")
    key = project.contract.model_keys.one
    another = get(params(project, champion), key) if key else None
    return str(another or champion.revision)


def parsed(text: str) -> Champion:
    """The content of champion.yaml. Raises UserError."""
    try:
        return Champion.model_validate(yaml12.load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise UserError(
            f"{SAID} is not as lab promote writes it: git log -p {SAID} shows who changed it\n{error}"
        ) from error
