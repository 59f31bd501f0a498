"""How much error one more test may spend, where tests go on for as long as a project does.

Each promotion is a test whose p value is known before the next is thought of. LORD++ gives each a level of its own, so
that of all champions that were made, at most 5 % on the mean are no better than the one before: Ramdas, Yang,
Wainwright and Jordan, Online control of the false discovery rate with decaying memory, NeurIPS 2017. Each failure
lowers the next levels, each success raises them. It takes tests for independent, and those on the same items are not.
"""

from __future__ import annotations

from collections.abc import Sequence

RATE = 0.05  # of discoveries that may be false
START = RATE / 2  # what there is to spend before the first discovery
TOTAL = 2.612375348685488  # the sum of all j^-1.5


def level(discoveries: Sequence[bool]) -> float:
    """The level of the next test, by whether each of those before was a discovery, in their order."""
    t = len(discoveries) + 1
    found = [i + 1 for i, each in enumerate(discoveries) if each]
    spent = START * share(t)
    if found:
        spent += (RATE - START) * share(t - found[0])
        spent += RATE * sum(share(t - at) for at in found[1:])
    return spent


def share(j: int) -> float:
    """Of what a discovery brings, the part that the j-th test after it may spend; all together 1."""
    return j**-1.5 / TOTAL
