"""Replicates that are parts of one cross-validation: `k of n` in the setting that the contract calls `folds`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab.nested_keys import get

if TYPE_CHECKING:
    from lab.study import Study

FOLD = re.compile(r"\s*(\d+)\s+of\s+(\d+)\s*")


def overlap(study: Study, seeds: Iterable[int]) -> float:
    """How many items each part tests by those that it trains on, 1 / (n - 1); 0 where these seeds are no such parts."""
    key, wanted = study.contract.folds, set(seeds)
    runs = [each for each in study.replicates if each.record and each.seed in wanted] if key else []
    found = {FOLD.fullmatch(str(get(each.record.params, str(key)))) for each in runs}
    parts = {(fold[1], int(fold[2])) for fold in found if fold}
    [count, *others] = {of for _, of in parts} or {0}
    return 1 / (count - 1) if None not in found and len(parts) > 1 and count > 1 and not others else 0.0
