"""Replicates that are parts of one cross-validation: `k of n` in the setting that the contract calls `folds`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab.design.folds import part
from lab.nested_keys import get

if TYPE_CHECKING:
    from lab.study import Study


def overlap(study: Study, seeds: Iterable[int]) -> float:
    """How many items each part tests by those that it trains on, 1 / (n - 1); 0 where these seeds are no such parts."""
    wanted = set(seeds)
    found = {fold for seed, fold in folds(study) if seed in wanted}
    [count, *others] = {fold[1] for fold in found if fold} or {0}
    return 1 / (count - 1) if None not in found and len(found) > 1 and count > 1 and not others else 0.0


def untested(study: Study) -> list[int] | None:
    """The seeds of a cross-validation's parts that the design leaves out; None where seeds are no such parts."""
    found = folds(study)
    counts = {fold and fold[1] for _, fold in found}
    by_seed = all(fold and fold[0] == seed for seed, fold in found)
    # One part alone is told from one that stays the same by how it is written: `${seed} of 5`.
    if not by_seed or len(counts) != 1 or (len(dict(found)) == 1 and "${" not in study.text):
        return None
    return [seed for seed in range(1, (counts.pop() or 0) + 1) if seed not in study.design.seeds]


def folds(study: Study) -> list[tuple[int, tuple[int, int] | None]]:
    """The seed and the part, (k, n), of each run that has a record; none without the setting in lab.yaml."""
    key = study.contract.folds
    if not key:
        return []
    return [(each.seed, part(get(each.record.params, key))) for each in study.replicates if each.record]
