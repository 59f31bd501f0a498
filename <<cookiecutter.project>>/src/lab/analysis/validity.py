"""Whether the runs did what the plan said: each stage used the planned config, and arms that should differ do.

Where they did not, no number of theirs answers the question: the verdict is INVALID.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from lab.nested_keys import flat

if TYPE_CHECKING:
    from lab.contract.models import Distinct
    from lab.study import Record, Study


def other_configs(study: Study) -> Iterator[str]:
    """Stages that used another config than the plan's, a sentence each."""
    for replicate in study.replicates:
        if not replicate.finished:
            continue
        planned = flat(replicate.record.params)
        for stage, note in replicate.record.effective.items():
            used = flat(note.get("config") or {})
            wrong = [key for key, value in used.items() if key not in planned or planned[key] != value]
            if wrong:
                key = wrong[0]
                more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
                yield (
                    f"{replicate.arm}, seed {replicate.seed}: the stage {stage} used {key}={used[key]}, where the plan "
                    f"says {planned.get(key, 'nothing')}{more}"
                )


def no_op_arms(study: Study) -> Iterator[str]:
    """Pairs of arms that told a stage something different and got the same from it with every seed, a sentence each."""
    for stage, distinct in study.contract.distinct.items():
        by_seed: dict[int, dict[str, tuple[Any, Any]]] = defaultdict(dict)
        for replicate in study.replicates:
            if replicate.finished and stage in replicate.record.effective:
                outcome = output(replicate.record, distinct), settings(study, replicate.record, stage)
                by_seed[replicate.seed][replicate.arm] = outcome
        times_alike = Counter(pair for arms in by_seed.values() for pair in alike(arms))
        for (a, b), times in times_alike.items():
            if times == sum(a in arms and b in arms for arms in by_seed.values()):
                yield (
                    f"no-op arm: {a} and {b} have identical {distinct.called}, though what the stage {stage} was told "
                    "differs"
                )


def alike(arms: dict[str, tuple[Any, Any]]) -> Iterator[tuple[str, str]]:
    """Each two of the arms whose outputs are the same and whose settings are not."""
    groups: dict[Any, list[str]] = defaultdict(list)
    for arm, (content, _) in arms.items():
        if content is not None:
            groups[content].append(arm)
    for group in groups.values():
        yield from ((a, b) for a, b in combinations(group, 2) if arms[a][1] != arms[b][1])


def output(record: Record, distinct: Distinct) -> tuple[Any, ...] | None:
    """What tells a stage's results apart: an output's hash, and metrics where that may be the same; None without any.

    A smaller network may predict exactly the same: that is what one hopes for where it was made smaller.
    """
    md5 = record.outputs.get(distinct.output, {}).get("md5")
    return (md5, *map(record.value, distinct.metrics)) if md5 else None


def settings(study: Study, record: Record, stage: str) -> dict[str, Any]:
    """What a stage was told, but for what may leave its output as it is."""
    config = flat(record.effective[stage].get("config") or {})
    neutral = tuple(f"{key}." for key in study.contract.neutral.get(stage, []))
    return {key: value for key, value in config.items() if not f"{key}.".startswith(neutral)}
