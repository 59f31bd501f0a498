"""Whether the runs did what the plan said: each stage used the planned config, and arms that should differ do.

Where they did not, no number of theirs answers the question: the verdict is INVALID.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from lab.nested_keys import flat
from lab.records.record import FINISHED

if TYPE_CHECKING:
    from lab.records.record import Record
    from lab.records.study import Study

OUTPUTS = {"train": "weights", "infer": "predictions", "quant": "predictions and size"}  # what no two arms share
# Settings that may leave a stage's output as it is: where and how fast, not what.
NEUTRAL = {
    "train": ("training.threads", "training.devices"),
    "infer": ("infer.device", "infer.batch_size", "infer.latency"),
    "quant": ("quant.threads", "quant.warmup", "quant.repeats", "quant.rounds"),
}


def other_configs(study: Study) -> list[str]:
    """Stages that used another config than the plan's, a sentence each."""
    found = []
    for row in study.rows:
        if row.record is None or row.status != FINISHED:
            continue
        planned = flat(row.record.params)
        for stage, entry in row.record.effective.items():
            used = flat(entry.get("config") or {})
            wrong = [key for key, value in used.items() if key not in planned or planned[key] != value]
            if wrong:
                key = wrong[0]
                more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
                found.append(
                    f"{row.arm}, seed {row.seed}: the stage {stage} used {key}={used[key]}, where the plan says "
                    f"{planned.get(key, 'nothing')}{more}"
                )
    return found


def no_op_arms(study: Study) -> list[str]:
    """Pairs of arms that told a stage something different and got the same from it with every seed, a sentence each."""
    found = []
    for stage, what in OUTPUTS.items():
        made: dict[int, dict[str, tuple[Any, Any]]] = defaultdict(dict)
        for row in study.rows:
            if row.record and row.status == FINISHED and stage in row.record.effective:
                made[row.seed][row.arm] = (output(row.record, stage), settings(row.record, stage))
        same = Counter(pair for arms in made.values() for pair in alike(arms))
        found += [
            f"no-op arm: {a} and {b} have identical {what}, though what the stage {stage} was told differs"
            for (a, b), times in same.items()
            if times == sum(a in arms and b in arms for arms in made.values())
        ]
    return found


def alike(arms: dict[str, tuple[Any, Any]]) -> Iterator[tuple[str, str]]:
    """Each two of the arms whose outputs are the same and whose settings are not."""
    groups: dict[Any, list[str]] = defaultdict(list)
    for arm, (content, _) in arms.items():
        if content is not None:
            groups[content].append(arm)
    for group in groups.values():
        yield from ((a, b) for a, b in combinations(group, 2) if arms[a][1] != arms[b][1])


def output(record: Record, stage: str) -> Any:
    """What tells a stage's results apart; None where there are none."""
    path = "models/model.pt" if stage == "train" else f"results/{stage}/predictions.parquet"
    md5 = record.outputs.get(path, {}).get("md5")
    # A smaller network may predict exactly the same: that is what one hopes of a quantization.
    return (md5, record.value("quant.size_mb")) if md5 and stage == "quant" else md5


def settings(record: Record, stage: str) -> dict[str, Any]:
    """What a stage was told, but for what may leave its output as it is."""
    told = flat(record.effective[stage].get("config") or {})
    neutral = tuple(f"{key}." for key in NEUTRAL[stage])
    return {key: value for key, value in told.items() if not f"{key}.".startswith(neutral)}
