"""What `lab COMMAND --json` prints: one object on stdout, whose form is kept; what is for people goes to stderr.

docs/json.md is made from these models, and says the same. A field may be added; one that goes, or that means something
else, makes another VERSION.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

VERSION = 1
EXIT_CODES = {
    0: "done: of `lab run` every run has finished with its metrics, of `lab check` nothing stands in the way",
    1: "done, and not as hoped: a run has failed, a check disagrees, somebody said no",
    2: "refused, and nothing changed: `error` says what is wrong, where, and what was expected",
    130: "interrupted: what is queued stays queued",
}


class Part(BaseModel):
    """What objects have in common: no unknown keys."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Output(Part):
    """What every command prints."""

    version: Literal[1] = VERSION
    """Of this form."""
    command: str = ""
    """Which it was."""
    exit_code: int = 0
    """As the process ends with."""


class Refused(Output):
    """Any command that can't do what was asked, or was interrupted."""

    error: str = ""
    """What is wrong, where, and what was expected; all of it, a line each."""


class Written(Output):
    """`lab new`, `lab schema`: a file was written."""

    path: str
    """The file, from the project's root."""
    runs: int | None = None
    """How many runs the design has."""
    seconds: float | None = None
    """How long they take one after the other, by what such runs took; null where nobody knows."""


class Line(Part):
    """A line of the checklist."""

    name: str
    ok: bool
    blocks: bool
    """Whether it keeps the design from being run while it is not ok."""
    message: str
    """What was found, or what to do."""


class Checked(Output):
    """`lab check`: the checklist before anything runs."""

    design: str
    ready: bool
    """Whether `lab run` would start."""
    checks: list[Line]


class PlannedRun(Part):
    """A run of a plan."""

    name: str
    arm: str
    levels: dict[str, Any]
    """What is varied, by its key."""
    seed: int
    replicate: int
    """The place of the seed among the design's."""
    wave: int
    """Runs of a later one wait for those of an earlier one, since they share a stage."""
    overrides: list[str]
    """As after `dvc exp run -S`."""
    params: dict[str, Any]
    """The whole config."""
    target: str
    """The stage of dvc.yaml that it ends with."""
    key: str
    """The same for runs with the same config."""
    needs: list[list[str]]
    """The metrics that it has to measure, one of each group."""
    state: str
    """`new`, or how the run stands that answers it."""
    experiment: str | None
    """What answers it."""


class Planned(Output):
    """`lab plan`: the exact runs of a design."""

    design: str
    digest: str
    """The question's hash: the same for the same question."""
    undecided: int
    """How many combinations are still to be chosen by what comes out."""
    runs: list[PlannedRun]


class Queued(Output):
    """`lab queue`: runs put into DVC's queue."""

    design: str
    queued: list[str]
    """The new experiments' names."""
    runs: int
    """How many the design has."""


class At(Part):
    """Where a running run is."""

    stage: str
    """Of dvc.yaml; `starting` before the first."""
    epoch: int
    """Counted from 1; 0 where nothing trains."""
    epochs: int
    """How many at most; 0 where that is unknown."""
    metrics: dict[str, float]
    """Of the latest epoch: those that `curves.progress` in lab.yaml names."""
    seconds: float | None
    """How long it still takes; null where nobody knows."""
    node: str
    """The machine, where that is not this one."""
    log: list[str]
    """The last lines that it has printed."""


class Run(Part):
    """How a run stands, and what it measured."""

    arm: str
    seed: int
    status: str
    """finished, without metric, running, queued, failed, unreadable, removed, or not queued."""
    experiment: str | None = None
    reused: bool = False
    """Whether another design's run answers it."""
    metrics: dict[str, float | None] = {}
    """The design's own, by their full names."""
    trouble: str = ""
    """Why it has none."""
    wave: int = 0
    """Of its plan: runs of a later one wait for those of an earlier one."""
    at: At | None = None
    """null where it does not run."""


class Arm(Part):
    """Where an arm stands: its mean so far, with the interval at 95 %."""

    arm: str
    seeds: int
    """How many of them have finished."""
    of: int
    """How many there are."""
    mean: float
    low: float | None
    high: float | None
    """null after one seed."""


class Answer(Part):
    """The answer as it stands."""

    outcome: str
    """SUPPORTED, REFUTED, EQUIVALENT, INCONCLUSIVE, UNDERPOWERED or INVALID, and whether it is exploratory."""
    sentence: str
    best: str
    """The best arm, with its value and interval."""
    decisive: str
    """The number that decides, with its interval."""
    caveat: str
    """What that interval leaves out, and why; empty where nothing."""
    next: str
    """What to do next, and how long it takes."""
    next_command: str
    """What to type for it; empty where nothing is."""


class Stand(Output):
    """`lab run`, `lab status DESIGN`: how a design's runs stand."""

    design: str
    title: str = ""
    runs: list[Run]
    metric: str = ""
    """What the arms are told by, as people call it."""
    arms: list[Arm] = []
    """Those of which a run has finished, the best first."""
    seconds: float | None = None
    """Until all runs are over; null where nobody knows, or none is running."""
    answer: Answer | None = None
    """null before anything has been measured."""


class Overview(Output):
    """`lab status`: how many runs of each design stand how."""

    designs: dict[str, dict[str, int]]
    """By design the number of runs by status."""
    workers: dict[str, int | None]
    """How many are at work, by where; null where that can't be told."""


class Logged(Output):
    """`lab logs`: what a run has printed."""

    experiment: str
    text: str


class Stopped(Output):
    """`lab stop`: workers that end."""

    workers: dict[str, int]
    """How many were told, by where."""


class Mirrored(Output):
    """`lab mirror`, `lab ui`: where the runs are shown."""

    places: list[str]
    """Addresses, or what people call them."""
    created: int = 0
    updated: int = 0
    messages: list[str] = []


class Results(Output):
    """`lab results`: all that a design's runs measured."""

    design: str
    answer: Answer | None
    runs: list[dict[str, Any]]
    """A row a run: arm, seed, status, every metric and stage's time by its full name, and run, the experiment."""


class Report(Part):
    """A report that was written."""

    design: str
    outcome: str
    path: str
    """Markdown; the page lies beside it, as .html."""


class Reported(Output):
    """`lab report`: the reports that were written."""

    reports: list[Report]
    page: str
    """The page to open."""


class Reviewed(Output):
    """`lab review`: the branch that was made."""

    design: str
    outcome: str
    branch: str
    commit: str
    experiment: str | None
    """Whose results are applied; null for none."""


class Rechecked(Output):
    """`lab review --check`, `lab review --rerun`: a committed answer, or runs, made again."""

    problems: list[str]
    """What disagrees."""
    summary: str
    """For the pull request, in Markdown, or what was compared, a line each."""


class Promoted(Output):
    """`lab promote`: the new champion."""

    experiment: str
    replaces: str | None
    overridden: list[str]
    """The gate's objections that --force overrode."""
    metrics: dict[str, dict[str, Any]]
    """Its own value, and mean and interval of its arm, by metric."""


class Freed(Output):
    """`lab gc`: what was freed."""

    places: dict[str, dict[str, int]]
    """Files and bytes, by where."""
