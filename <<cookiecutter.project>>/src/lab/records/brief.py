"""What lists of runs ask of a commit, worked out once and kept: whose run it is, its code and data, its metrics."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.design.plan import MEMBERSHIP, UNTIL, run_key
from lab.errors import UserError
from lab.nested_keys import exists, flat, get
from lab.records import faults

if TYPE_CHECKING:
    from lab.records.commit import Commit

SHOWN = 40  # characters of a value that is no number


class Brief(NamedTuple):
    """What lists of runs ask of a commit.

    Attributes:
        key: what makes its config the same as another's: `design.plan.run_key`.
        experiment: the block of its params that says what it belongs to.
        task, seed: as the contract finds them.
        data: the version of its raw data.
        stages: those whose outputs belong to its params.
        code: by stage what a run up to it is made by, for the stages that answer a question, or that this run ends
            with, and that dvc.yaml has.
        settings: those of its params that tell data and code, on any commit with the same dvc.yaml; by dotted keys.
        essence: as `key`, of its config without the settings that may leave every output as it is.
        came_out: by stage the hash of the output that tells its results apart.
        fault: why it can't be read as a run, and then only `experiment` is known, if that; empty where it can.
    """

    key: str = ""
    experiment: dict[str, Any] = {}
    task: str = ""
    seed: Any = None
    data: str | None = None
    stages: list[str] = []
    code: dict[str, str] = {}
    settings: dict[str, Any] = {}
    essence: str = ""
    came_out: dict[str, str] = {}
    fault: str = ""


class Measured(NamedTuple):
    """What lists of runs ask of what a run has measured.

    Attributes:
        names: the metrics, by their full names.
        seconds: what each stage took.
        odd: those of them that are no finite number, with what they are instead.
        damaged: by path why a metrics file can't be read.
    """

    names: list[str]
    seconds: dict[str, float]
    odd: dict[str, str] = {}
    damaged: dict[str, str] = {}


def summed_up(commit: Commit) -> Brief:
    """The brief of a commit, read from git. Raises git_objects.Lost: git lacks a part of it, which may come back."""
    block: list[dict[str, Any]] = []  # as soon as it is known
    fault = faults.told(lambda: faults.check_run(commit, block.append))
    found: list[Brief] = []
    fault = fault or faults.told(lambda: found.append(_summed_up(commit, block[0])))
    return Brief(experiment=block[0] if block else {}, fault=fault) if fault else found[0]


def _summed_up(commit: Commit, block: dict[str, Any]) -> Brief:
    params, contract = commit.params, commit.contract
    code = {}
    for stage in sorted({*contract.types.values(), str(block.get(UNTIL, ""))} - {""}):
        with suppress(UserError):  # a dvc.yaml that lab can't work with, or that has no such stage
            code[stage] = commit.code(params, stage)
    return Brief(
        run_key(params),
        block,
        contract.task_of(params),
        contract.seed_of(params),
        commit.data(params),
        list(commit.stages),
        code,
        _settings_of_code(commit),
        run_key(contract.without_neutral({key: value for key, value in params.items() if key != MEMBERSHIP})),
        {stage: md5 for stage in (*contract.distinct, *contract.types.values()) if (md5 := _came_out(commit, stage))},
    )


def _came_out(commit: Commit, stage: str) -> str | None:
    entry = commit.contract.distinct.get(stage)
    path = entry.output if entry else commit.contract.predictions_path(stage)
    return commit.outputs.get(path, {}).get("md5") if path else None


def _settings_of_code(commit: Commit) -> dict[str, Any]:
    keys = commit.contract.model_keys
    named = {key for key in (commit.contract.raw_data, keys.one, keys.several) if key}
    with suppress(UserError):
        named |= set(commit.pipeline.keys_in_text)
    outer = {key for key in named if not any(key.startswith(f"{other}.") for other in named)}
    return {key: get(commit.params, key) for key in sorted(outer) if exists(commit.params, key)}


def measured(commit: Commit) -> Measured:
    """What a commit's run has measured, read from git and DVC's cache."""
    values = flat(commit.metrics)
    odd = {name: said for name, value in values.items() if (said := _odd(value))}
    seconds = {stage: float(note["seconds"]) for stage, note in commit.effective.items()}
    return Measured(list(values), seconds, odd, commit.damaged_metrics)


def _odd(value: Any) -> str:
    """What a value is that is no finite number; empty where it is one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            return "" if math.isfinite(float(value)) else str(value)
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
