"""Numbers that stand together have the same decimals: those of a column, of an interval, of a change and its ends."""

from __future__ import annotations

import math
from collections.abc import Iterable

MOST = 6


def decimals(values: Iterable[float | None], digits: int = 4) -> int:
    """How many decimals such values take: `digits` significant ones of the largest; of four, one more for small ones.

    No more than one of them has when it is written alone, so that counts stay counts.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return 0
    wanted = digits - 1 - magnitude(max(sizes))
    wanted = max(wanted, min(wanted + max(0, digits - 3), 1 - magnitude(min(sizes))))
    own = max(len(f"{float(f'{size:.{digits}g}'):.{MOST}f}".rstrip("0").partition(".")[2]) for size in sizes)
    return min(MOST, max(0, min(wanted, own)))


def magnitude(size: float) -> int:
    """The power of ten of a number above 0."""
    return math.floor(math.log10(size))


def written(value: float, places: int, sign: str = "") -> str:
    """A number with so many decimals; `sign` is + where it is a change. Zero has no sign."""
    text = f"{value:{sign}.{places}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def counted(n: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
