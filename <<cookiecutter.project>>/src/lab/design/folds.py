"""Parts of a cross-validation, `k of n` in the setting that the contract calls `folds`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lab.nested_keys import get

if TYPE_CHECKING:
    from lab.design.settings_check import Check

FOLD = re.compile(r"\s*(\d+)\s+of\s+(\d+)\s*")


def part(value: Any) -> tuple[int, int] | None:
    """The k and the n of `k of n`; None of anything else."""
    found = FOLD.fullmatch(str(value))
    return (int(found[1]), int(found[2])) if found else None


def checked(check: Check | None, key: str | None) -> Check:
    """What `check` of lab.yaml refuses, and at `key` the parts that there are none of, which it may let through."""

    def refused(settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
        wrong = list(check(settings) or ()) if check else []
        yield from wrong
        fold = part(get(settings, key)) if key and key not in dict(wrong) else None
        if key and fold and not 1 <= fold[0] <= fold[1]:
            yield key, f"'{fold[0]} of {fold[1]}': expected k of n with k from 1 to n, here from 1 to {fold[1]}"

    return refused
