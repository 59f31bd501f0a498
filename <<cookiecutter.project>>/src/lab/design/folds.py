"""Parts of a cross-validation, `k of n` in the setting that the contract calls `folds`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lab.errors import UserError
from lab.nested_keys import get

if TYPE_CHECKING:
    from lab.design.settings_check import Check

FOLD = re.compile(r"\s*(\d+)\s+of\s+(\d+)\s*")


def part(value: Any) -> tuple[int, int] | None:
    """The k and the n of `k of n`; None of anything else."""
    found = FOLD.fullmatch(str(value))
    return (int(found[1]), int(found[2])) if found else None


def pairs(said: Any) -> list[tuple[str, str]]:
    """What a project's `check` has said. Raises UserError where it is nothing that one may say."""
    found = [] if said is None else [*said] if isinstance(said, Iterable) else [said]
    if not all(isinstance(each, tuple | list) and [*map(type, each)] == [str, str] for each in found):
        raise UserError(f"lab.yaml: check: its function gave {said!r:.60}: expected pairs of a key and what is wrong")
    return [(key, wrong) for key, wrong in found]


def checked(check: Check | None, key: str | None) -> Check:
    """What `check` of lab.yaml refuses, and at `key` the parts that there are none of, which it may let through."""

    def refused(settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
        wrong = pairs(check(settings)) if check else []
        yield from wrong
        fold = part(get(settings, key)) if key and key not in dict(wrong) else None
        if key and fold and not 1 <= fold[0] <= fold[1]:
            yield key, f"'{fold[0]} of {fold[1]}': expected k of n with k from 1 to n, here from 1 to {fold[1]}"

    return refused
