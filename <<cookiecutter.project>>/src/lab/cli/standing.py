"""How a design's runs stand, for programs: what `lab run` and `lab status` tell, and the live page shows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lab.cli import view
from lab.cli.output import Answer, Arm, At, Run, Stand
from lab.execution.forecast import Forecast, wave_of
from lab.execution.standings import progress
from lab.study import RUNNING, metric_names

if TYPE_CHECKING:
    from pathlib import Path

    from lab.contract import Contract
    from lab.design.models import Design
    from lab.study import Replicate

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # of terminals: colours, and where to write
LINES, END = 8, 4000  # of a run's log: the last lines, of so many bytes


def stand(
    design: Design,
    contract: Contract,
    replicates: Sequence[Replicate],
    told: Answer | None = None,
    forecast: Forecast | None = None,
    now: float = 0.0,
    code: int = 0,
) -> Stand:
    """How a design's runs stand at `now`, in seconds since the epoch; where they run, by a `forecast`."""
    names = metric_names(design, contract, [each.record for each in replicates])
    metric, measured = view.arms_so_far(design, contract, replicates)
    seeds = [replicate.arm for replicate in replicates if not replicate.stopped]
    return Stand(
        design=design.name,
        title=design.title,
        runs=[_run(replicate, names, contract, forecast, now) for replicate in replicates],
        metric=metric,
        arms=[
            Arm(
                arm=arm.arm,
                seeds=len(arm.values),
                of=seeds.count(arm.arm),
                mean=mean.value,
                low=mean.low,
                high=mean.high,
            )
            for arm, mean in measured
        ],
        seconds=forecast.seconds(replicates, now) if forecast else None,
        answer=told,
        exit_code=code,
    )


def _run(replicate: Replicate, names: Sequence[str], contract: Contract, forecast: Forecast | None, now: float) -> Run:
    record = replicate.record
    return Run(
        arm=replicate.arm,
        seed=replicate.seed,
        status=replicate.status,
        experiment=record.name if record else None,
        reused=replicate.reused,
        metrics={name: replicate.value(name) for name in names},
        trouble=replicate.trouble,
        wave=wave_of(replicate),
        at=_at(record, contract, forecast, now) if forecast and replicate.status == RUNNING else None,
    )


def _at(record: Any, contract: Contract, forecast: Forecast, now: float) -> At:
    at = progress(record, contract)
    return At(
        stage=at.stage,
        epoch=at.epoch,
        epochs=at.epochs,
        metrics=dict(at.metrics or {}),
        seconds=forecast.left(record, now, at),
        node=record.pending.node if record.pending else "",
        log=_last_lines(record.pending.log) if record.pending else [],
    )


def _last_lines(log: Path) -> list[str]:
    """The end of what a run has printed, without bars that were drawn over."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - END))
        lines = ESCAPES.sub("", file.read().decode(errors="replace")).split("\n")
        drawn = (line.rstrip("\r ").rpartition("\r")[2] for line in lines)
        return [line for line in drawn if line][-LINES:]
    return []
